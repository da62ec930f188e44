# The production image: the server without the embedded stack. To carry that too: --build-arg FEATURES=embedded.
ARG RUST_VERSION=1.95

FROM docker.io/library/rust:${RUST_VERSION}-slim-bookworm AS build
WORKDIR /build
ARG FEATURES=server

# The dependencies first, against empty sources: this layer is kept until Cargo.toml or Cargo.lock change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/it \
    && touch src/lib.rs \
    && for stub in build.rs src/main.rs src/bootstrap.rs tests/it/main.rs; do echo 'fn main() {}' > "$stub"; done \
    && cargo build --profile dist --locked --no-default-features --features "$FEATURES"

COPY build.rs ./
COPY proto proto
COPY third_party third_party
COPY assets assets
COPY src src
# Cargo goes by modification times, and the real files can be older than the stubs.
RUN touch build.rs src/lib.rs src/main.rs \
    && cargo build --profile dist --locked --no-default-features --features "$FEATURES"

# What the server needs while it runs, and nothing else: no shell, no package manager. Names are looked up by the C library,
# which has files and DNS in itself.
WORKDIR /image
RUN install -D /build/target/dist/sightline usr/local/bin/sightline \
    && ldd usr/local/bin/sightline > /build/linked \
    && grep -o '/lib[^ ]*' /build/linked > /build/libraries \
    && xargs --arg-file /build/libraries cp --dereference --parents --target-directory . \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/ca-certificates.crt \
    && install -m 644 /etc/os-release etc/os-release \
    && echo 'hosts: files dns' > etc/nsswitch.conf
COPY LICENSE LICENSE-APACHE LICENSE-MIT NOTICE usr/share/doc/sightline/

FROM scratch
COPY --from=build /image /

# Others can connect to this: the server starts only when it is also told how to know who calls (SIGHTLINE_TRUSTED_PROXIES,
# SIGHTLINE_TLS_CLIENT_CA, SIGHTLINE_TOKENS or SIGHTLINE_JWKS), or that everybody may (SIGHTLINE_ALLOW_ANONYMOUS=true).
ENV SIGHTLINE_LISTEN=0.0.0.0:50051
EXPOSE 50051
# By number, so that Kubernetes can see that it is not root. The server writes nothing: a read-only root will do.
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/local/bin/sightline", "health"]
ENTRYPOINT ["/usr/local/bin/sightline"]
CMD ["serve"]
