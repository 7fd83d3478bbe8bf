# Traefik from a program, where its public image cannot be had; made by `cargo xtask install --traefik-bin FILE`.
# BASE is paastech/base:12.
ARG BASE
FROM ${BASE}
LABEL io.paastech.service=""
COPY bin/traefik /usr/local/bin/
USER 870:870
CMD ["traefik"]
