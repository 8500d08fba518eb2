# Debian's Valkey, for clusters that can pull no image. Elsewhere the chart's default image does.
ARG BASE=debian:trixie-slim
FROM ${BASE}
LABEL org.opencontainers.image.title="agentsession-redis"
RUN apt-get update \
 && apt-get install -y --no-install-recommends valkey-server \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
USER 1000:1000
WORKDIR /data
CMD ["valkey-server"]
