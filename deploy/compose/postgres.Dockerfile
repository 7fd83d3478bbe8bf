# PostgreSQL from Debian's package, without the cluster that the package would make; made by `cargo xtask install`.
# BASE is paastech/base:12.
ARG BASE
FROM ${BASE}
LABEL io.paastech.service=""
COPY apt /etc/apt/sources.list.d
RUN mkdir -p /etc/postgresql-common && \
    echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf && \
    apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql-15 && \
    usermod --uid 871 postgres && groupmod --gid 871 postgres && \
    mkdir /data && chown 871:871 /data && chmod 0700 /data && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/*
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8
USER 871:871
CMD ["postgres", "-D", "/data"]
