# The images of the services, from binaries built on a host with the same Debian; made by `cargo xtask install`.
# BASE is paastech/base:12: Debian 12 with Python and the host's CA bundle.
ARG BASE
FROM ${BASE} AS common
LABEL io.paastech.service=""
RUN groupadd --system --gid 870 paastech && \
    useradd --system --uid 870 --gid 870 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin paastech && \
    install --directory --owner=870 --group=870 --mode=0700 \
        /var/lib/paastech/api /var/lib/paastech/repositories /var/lib/paastech/ssh /var/lib/paastech/pomegranate \
        /run/gate
USER 870:870

FROM common AS api
COPY bin/paastech-api bin/paastech-admin /usr/local/bin/
ENV PAASTECH_CONFIG=/etc/paastech
ENTRYPOINT ["paastech-api", "--config", "/etc/paastech"]

FROM common AS pomegranate
COPY bin/pomegranate /usr/local/bin/
ENTRYPOINT ["pomegranate", "--config", "/etc/paastech"]

FROM common AS engine-gate
COPY bin/paastech-engine-gate /usr/local/bin/
ENTRYPOINT ["paastech-engine-gate", "--config", "/etc/paastech"]

FROM common AS edge
COPY bin/paastech-edge /usr/local/bin/
ENTRYPOINT ["paastech-edge", "--config", "/etc/paastech", "--label-key", "/run/secrets/label-hmac"]

FROM common AS git
USER 0
COPY apt /etc/apt/sources.list.d
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends git && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/*
USER 870:870

FROM git AS git-controller
COPY bin/paastech-git-controller /usr/local/bin/
ENTRYPOINT ["paastech-git-controller", "--config", "/etc/paastech"]

FROM git AS ssh-git-server
COPY bin/paastech-ssh-git-server /usr/local/bin/
ENTRYPOINT ["paastech-ssh-git-server", "--config", "/etc/paastech"]
