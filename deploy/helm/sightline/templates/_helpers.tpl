{{- define "sightline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sightline.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 57 | trimSuffix "-" }}
{{- else if contains (include "sightline.name" .) .Release.Name }}
{{- .Release.Name | trunc 57 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "sightline.name" .) | trunc 57 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "sightline.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sightline.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sightline.labels" -}}
{{ include "sightline.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "sightline.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "sightline.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "sightline.image" -}}
{{- $repository := required "image.repository is required: where you pushed the image that the Dockerfile builds" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* The pod's memory in MiB: see resources in values.yaml. */}}
{{- define "sightline.memoryMiB" -}}
{{- with .Values.limits }}
{{- add (mul 4 .inFlightMiB) .prepareMiB .cacheMiB 192 }}
{{- end }}
{{- end }}

{{- define "sightline.gracePeriodSeconds" -}}
{{- with .Values.drain }}
{{- add .preStopSeconds .pauseSeconds .timeoutSeconds .marginSeconds }}
{{- end }}
{{- end }}

{{- define "sightline.policyConfigMap" -}}
{{- default (printf "%s-policy" (include "sightline.fullname" .)) .Values.policy.configMap }}
{{- end }}

{{- define "sightline.hasPolicy" -}}
{{- if or .Values.policy.toml .Values.policy.configMap }}true{{ end }}
{{- end }}

{{- define "sightline.hasJwks" -}}
{{- with .Values.identity.jwt }}{{ if or .jwks .configMap }}true{{ end }}{{ end }}
{{- end }}

{{/* What no schema can say: settings that need or exclude each other. */}}
{{- define "sightline.check" -}}
{{- $identity := .Values.identity }}
{{- $mutual := and $identity.tls.secretName $identity.tls.clientCa }}
{{- if not (or $identity.allowAnonymous $identity.trustedProxies $mutual $identity.tokens.secretName (include "sightline.hasJwks" .)) }}
{{- fail "Nobody could call: set a source of identity (identity.trustedProxies, identity.tls.secretName with clientCa, identity.tokens.secretName or identity.jwt), or identity.allowAnonymous=true, with which anyone who reaches the port may use the service and read what its role may read" }}
{{- end }}
{{- if and (include "sightline.hasJwks" .) (not (and $identity.jwt.issuer $identity.jwt.audience)) }}
{{- fail "identity.jwt needs issuer and audience: without them a token made for another service would do" }}
{{- end }}
{{- if and $identity.jwt.jwks $identity.jwt.configMap }}
{{- fail "identity.jwt takes jwks or configMap, not both" }}
{{- end }}
{{- if and .Values.policy.toml .Values.policy.configMap }}
{{- fail "policy takes toml or configMap, not both" }}
{{- end }}
{{- if and $identity.tls.secretName (not .Values.admin.enabled) }}
{{- fail "identity.tls needs admin.enabled=true: the kubelet's gRPC probes speak no TLS, so readiness is asked on the admin port" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.admin.enabled) }}
{{- fail "serviceMonitor needs admin.enabled=true: metrics are on the admin port" }}
{{- end }}
{{- end }}
