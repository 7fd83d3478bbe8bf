# The registry from Debian's package, without the service and the user that the package would make; made by
# `cargo xtask install`. BASE is paastech/base:12.
ARG BASE
FROM ${BASE}
LABEL io.paastech.service=""
COPY apt /etc/apt/sources.list.d
RUN apt-get update && \
    cd /tmp && apt-get download docker-registry && dpkg --extract docker-registry_*.deb /tmp/registry && \
    install --mode=0755 /tmp/registry/usr/bin/docker-registry /usr/bin/ && \
    groupadd --system --gid 872 registry && \
    useradd --system --uid 872 --gid 872 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin registry && \
    install --directory --owner=872 --group=872 --mode=0700 /data && \
    rm -rf /tmp/* /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/*
USER 872:872
ENTRYPOINT ["docker-registry"]
CMD ["serve", "/etc/paastech/registry.yml"]
