# Crossfade's image: the release binary without the demo and the stand-in servers, on a base without a shell.
#
#   docker build -t crossfade .
#   docker run -p 8080:8080 -v ./crossfade:/etc/crossfade:ro -v crossfade:/var/lib/crossfade crossfade
#
# The folder holds config.yaml, whose store is at /var/lib/crossfade/crossfade.redb, and the secret files it names.
#
# A binary that was built elsewhere goes in by standing in for the stage `build`; its folder holds out/crossfade and
# the empty folder out/state:
#
#   docker build --build-context build=FOLDER -t crossfade .

# More of what Crossfade can do goes in by a cargo feature, such as --build-arg FEATURES=openfeature (the dial from flagd).

ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
ARG FEATURES=
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
# The caches keep the dependencies, built, from one build to the next; what leaves the stage is copied out of them.
# Sources may be older than what the cache was built from, which Cargo would take for unchanged: hence the touch.
RUN --mount=type=cache,id=crossfade-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=crossfade-target,target=/src/target,sharing=locked \
    touch src/lib.rs src/main.rs && \
    cargo build --release --locked --no-default-features --features "${FEATURES}" && \
    install -D target/release/crossfade /out/crossfade && \
    mkdir /out/state

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Crossfade" \
      org.opencontainers.image.description="A reverse proxy that moves people from a legacy identity system to Scalekit at their next sign-in" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/crossfade /usr/local/bin/crossfade
# The embedded store and nothing else is written here; the root may be read-only.
COPY --from=build --chown=65532:65532 /out/state /var/lib/crossfade
VOLUME /var/lib/crossfade
WORKDIR /var/lib/crossfade
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["/usr/local/bin/crossfade", "health"]
ENTRYPOINT ["/usr/local/bin/crossfade"]
CMD ["serve", "--config", "/etc/crossfade/config.yaml"]
