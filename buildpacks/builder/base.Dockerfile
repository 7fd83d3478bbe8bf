# paastech/base:12 where a registry has Debian; elsewhere the same packages are unpacked without one. Made by `cargo xtask base-image`.
ARG BASE
FROM ${BASE}
COPY apt /etc/apt/sources.list.d
RUN rm -f /etc/apt/sources.list.d/debian.sources && \
    apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates python3 && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/*
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
CMD ["bash"]
