# syntax=docker/dockerfile:1
# A static binary on an empty image. The build runs on the platform it builds for (amd64 or arm64).
# A folder that holds the binary can take the place of the first stage: --build-context build=FOLDER (docs/image.md).
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUNTIME_IMAGE=scratch

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
# glibc, linked statically: docs/decisions/0008-static-glibc.md
ENV RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"
COPY Cargo.toml Cargo.lock README.md LICENSE ./
COPY src src
COPY benches benches
COPY config config
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release --bin oxide-operator --target "$(uname -m)-unknown-linux-gnu" \
    && cp "target/$(uname -m)-unknown-linux-gnu/release/oxide-operator" /oxide-operator

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="oxide-operator" \
      org.opencontainers.image.description="Keeps the configuration database of the Oxide LLM orchestrator equal to a declared YAML" \
      org.opencontainers.image.source="https://github.com/yayoboy/oxide" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /oxide-operator /oxide-operator
# The database must belong to this user, so give the orchestrator's container the same one (see charts/README.md).
USER 65532:65532
# Health and metrics. Inside a pod, start it with --listen-health 0.0.0.0:8461.
EXPOSE 8461
ENTRYPOINT ["/oxide-operator"]
