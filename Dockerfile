# The image of both commands, `operator` and `replicate`. Build it from the root of the repository:
#   docker build -t ghcr.io/k2k-dev/appmigration:0.1.0 .

# Debian 12 as the final image, so that the binary finds the glibc that it was built with. The compilers,
# make, perl and pkg-config that vendored OpenSSL and librdkafka ask for are part of this image.
# Both images by the digest of their index, which has amd64 and arm64: a tag can be moved.
FROM rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1 AS build
WORKDIR /build

# The dependencies in a layer of their own, on an empty crate: they take minutes and change seldom.
# rust-toolchain.toml stays out: its formatter and linter would be downloaded, and are not needed.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' >src/main.rs \
    && touch src/lib.rs \
    && cargo build --locked --release \
    && rm -r src

COPY src src
# COPY keeps the times of the files, which may be older than the empty crate's: cargo would find nothing to do.
RUN touch src/main.rs src/lib.rs \
    && cargo build --locked --release --bin appmigration

FROM gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="appmigration" \
    org.opencontainers.image.description="Moves a Kafka consumer group to another cluster, exactly and with a proof" \
    org.opencontainers.image.source="https://github.com/k2k-dev/appmigration" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
# Where the system's roots are: vendored OpenSSL would look below /usr/local/ssl.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# Threads share few arenas of the allocator: each keeps what was freed in it, and Kafka's clients bring threads that
# come and go. A quarter less is resident with 1,000 migrations, and nothing is slower.
ENV MALLOC_ARENA_MAX=2
COPY LICENSE /LICENSE
COPY --from=build /build/target/release/appmigration /appmigration
# Fails the build where the binary needs a library that this image does not have.
RUN ["/appmigration", "--version"]
# By number, so that runAsNonRoot can be checked.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/appmigration"]
CMD ["operator"]
