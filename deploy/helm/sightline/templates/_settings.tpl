{{/* The server's settings, one variable each. */}}
{{- define "sightline.environment" -}}
- name: SIGHTLINE_LISTEN
  value: {{ printf "%s:50051" .Values.bindAddress | quote }}
- name: SIGHTLINE_ADMIN_LISTEN
  value: {{ ternary (printf "%s:50052" .Values.bindAddress) "off" .Values.admin.enabled | quote }}
{{- include "sightline.identityEnvironment" . }}
{{- if include "sightline.hasPolicy" . }}
- name: SIGHTLINE_POLICY
  value: /etc/sightline/policy/{{ .Values.policy.key }}
{{- end }}
{{- with .Values.aws.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- with .Values.model }}
- name: SIGHTLINE_MODEL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.allowedModels }}
- name: SIGHTLINE_ALLOWED_MODELS
  value: {{ join "," . | quote }}
{{- end }}
{{- if .Values.catalogue }}
- name: SIGHTLINE_MODELS
  value: /etc/sightline/catalogue/models.toml
{{- end }}
{{- with .Values.tracing.endpoint }}
- name: SIGHTLINE_OTLP_ENDPOINT
  value: {{ . | quote }}
- name: SIGHTLINE_TRACE_RATIO
  value: {{ $.Values.tracing.ratio | quote }}
{{- end }}
- name: SIGHTLINE_LOG
  value: {{ .Values.log.filter | quote }}
- name: SIGHTLINE_LOG_FORMAT
  value: {{ .Values.log.format | quote }}
{{- include "sightline.limitsEnvironment" . }}
- name: SIGHTLINE_DRAIN_PAUSE
  value: {{ printf "%ds" (int .Values.drain.pauseSeconds) | quote }}
- name: SIGHTLINE_DRAIN_TIMEOUT
  value: {{ printf "%ds" (int .Values.drain.timeoutSeconds) | quote }}
{{- end }}

{{- define "sightline.identityEnvironment" -}}
{{- with .Values.identity }}
{{- if .allowAnonymous }}
- name: SIGHTLINE_ALLOW_ANONYMOUS
  value: "true"
{{- end }}
{{- with .trustedProxies }}
- name: SIGHTLINE_TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
{{- if .tls.secretName }}
- name: SIGHTLINE_TLS_CERT
  value: /etc/sightline/tls/tls.crt
- name: SIGHTLINE_TLS_KEY
  value: /etc/sightline/tls/tls.key
{{- if .tls.clientCa }}
- name: SIGHTLINE_TLS_CLIENT_CA
  value: /etc/sightline/tls/ca.crt
{{- end }}
{{- end }}
{{- if .tokens.secretName }}
- name: SIGHTLINE_TOKENS
  value: /etc/sightline/tokens/{{ .tokens.key }}
{{- end }}
{{- if or .jwt.jwks .jwt.configMap }}
- name: SIGHTLINE_JWKS
  value: {{ default (printf "/etc/sightline/jwks/%s" .jwt.key) .jwt.jwks | quote }}
- name: SIGHTLINE_JWT_ISSUER
  value: {{ .jwt.issuer | quote }}
- name: SIGHTLINE_JWT_AUDIENCE
  value: {{ .jwt.audience | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sightline.limitsEnvironment" -}}
{{- with .Values.limits }}
- name: SIGHTLINE_REQUEST_TIMEOUT
  value: {{ printf "%ds" (int .requestTimeoutSeconds) | quote }}
- name: SIGHTLINE_MAX_IN_FLIGHT
  value: {{ int .maxInFlight | quote }}
- name: SIGHTLINE_MAX_IN_FLIGHT_BYTES
  value: {{ printf "%dMiB" (int .inFlightMiB) | quote }}
- name: SIGHTLINE_MAX_PREPARE_BYTES
  value: {{ printf "%dMiB" (int .prepareMiB) | quote }}
- name: SIGHTLINE_CACHE_BYTES
  value: {{ printf "%dMiB" (int .cacheMiB) | quote }}
- name: SIGHTLINE_MAX_STREAMS
  value: {{ int .maxStreams | quote }}
- name: SIGHTLINE_MAX_CONNECTIONS
  value: {{ int .maxConnections | quote }}
- name: SIGHTLINE_MAX_CONNECTION_STREAMS
  value: {{ int .maxConnectionStreams | quote }}
- name: SIGHTLINE_MAX_CONNECTION_AGE
  value: {{ .maxConnectionAge | quote }}
- name: SIGHTLINE_MAX_CONNECTION_AGE_GRACE
  value: {{ .maxConnectionAgeGrace | quote }}
{{- end }}
{{- end }}

{{/* Files of the settings: name of the volume, and so of its folder, and where it comes from. Whole folders, never a
subPath: only so do changes reach the running pod. */}}
{{- define "sightline.volumes" -}}
{{- with .Values.identity.tls.secretName }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.identity.tokens.secretName }}
- name: tokens
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.identity.jwt.configMap }}
- name: jwks
  configMap:
    name: {{ . }}
{{- end }}
{{- if include "sightline.hasPolicy" . }}
- name: policy
  configMap:
    name: {{ include "sightline.policyConfigMap" . }}
{{- end }}
{{- if .Values.catalogue }}
- name: catalogue
  configMap:
    name: {{ include "sightline.fullname" . }}-catalogue
{{- end }}
{{- end }}
