# The image of both commands, `operator` and `replicate`. Build it from the root of the repository:
#   docker build -t ghcr.io/k2k-dev/appmigration:0.1.0 .
# `make image` tries what it would hold, without a container engine.

# Nothing in the image tells a scanner of the crates in the binary: the SBOM takes them from Cargo.lock.
ARG BUILDKIT_SBOM_SCAN_CONTEXT=true

# The compilers, make, perl and pkg-config that vendored OpenSSL and librdkafka ask for are part of this image.
# Both images by the digest of their index, which has amd64 and arm64: a tag can be moved.
FROM rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1 AS build
WORKDIR /build

# The dependencies in a layer of their own, on an empty crate: they take minutes and change seldom.
# rust-toolchain.toml stays out: its formatter and linter would be downloaded, and are not needed.
COPY image image
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' >src/main.rs \
    && touch src/lib.rs \
    && image/build \
    && rm -r src

COPY src src
# COPY keeps the times of the files, which may be older than the empty crate's: cargo would find nothing to do.
RUN touch src/main.rs src/lib.rs \
    && image/build

# CA roots, and no library at all: the binary is static.
FROM gcr.io/distroless/static-debian13:nonroot@sha256:e2e927ec666bae08560abb3c55d0659eceabb657f56b6782ab500a9fc7f555e3
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="appmigration" \
    org.opencontainers.image.description="Moves a Kafka consumer group to another cluster, exactly and with a proof" \
    org.opencontainers.image.source="https://github.com/k2k-dev/appmigration" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}" \
    org.opencontainers.image.base.name="gcr.io/distroless/static-debian13:nonroot"
# Threads share few arenas of the allocator: each keeps what was freed in it, and Kafka's clients bring threads that
# come and go. A quarter less is resident with 1,000 migrations, and nothing is slower.
ENV MALLOC_ARENA_MAX=2
COPY LICENSE /LICENSE
COPY --from=build /build/target/image/appmigration /appmigration
# Fails the build where the binary needs anything that this image does not have.
RUN ["/appmigration", "--version"]
# By number, so that runAsNonRoot can be checked.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/appmigration"]
CMD ["operator"]
