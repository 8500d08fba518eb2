# The image of every service process: one wheel, the chart chooses the command. Target `development` has
# the stand-ins for model and Telegram besides, which have no place in the other one.
#
#   docker build -f images/service.Dockerfile --target service -t REGISTRY/agentsession-service:TAG .
#
# Where HTTPS goes through a proxy with a certificate of its own, hand the build its CA bundle, which
# never becomes part of the image:  --secret id=ca-bundle,src=/etc/ssl/certs/ca-certificates.crt
ARG BASE=debian:trixie-slim

FROM ${BASE} AS python
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*

# pip stays in this stage: it installs into a second environment that has none.
FROM python AS tools
COPY requirements/build.txt /build/
RUN --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export PIP_CERT=/run/secrets/ca-bundle; fi \
 && apt-get update \
 && apt-get install -y --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /build/tools \
 && /build/tools/bin/pip install --no-cache-dir --require-hashes -r /build/build.txt

# Precompiled with unchecked hashes: the root file system is read-only, so Python could not write
# bytecode later, and it never needs to compare it with the sources.
FROM tools AS dependencies
COPY requirements/service.txt /build/
RUN --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export PIP_CERT=/run/secrets/ca-bundle; fi \
 && python3 -m venv --without-pip /opt/agentsession \
 && /build/tools/bin/pip --python /opt/agentsession/bin/python install \
        --no-cache-dir --no-compile --require-hashes --only-binary :all: -r /build/service.txt \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/agentsession/lib

FROM dependencies AS application
WORKDIR /build/source
COPY . .
# An entry point without its package would be there to fail.
RUN rm -r dev \
 && /build/tools/bin/hatchling build --target wheel --directory /build/wheel \
 && /build/tools/bin/pip --python /opt/agentsession/bin/python install \
        --no-cache-dir --no-compile --no-index --no-deps --root /build/root /build/wheel/*.whl \
 && rm /build/root/opt/agentsession/bin/agentsession-model-server \
       /build/root/opt/agentsession/bin/agentsession-telegram-server \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -s /build/root /build/root/opt/agentsession/lib

FROM dependencies AS equipment
WORKDIR /build/source
COPY . .
RUN /build/tools/bin/hatchling build --target wheel --directory /build/wheel \
 && /build/tools/bin/pip --python /opt/agentsession/bin/python install \
        --no-cache-dir --no-compile --no-index --no-deps --root /build/root /build/wheel/*.whl \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -s /build/root /build/root/opt/agentsession/lib

FROM python AS runtime
# kopf asks for the user's name and fails where the uid has none.
RUN useradd --uid 1000 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin agentsession
COPY --from=dependencies /opt/agentsession /opt/agentsession
ENV PATH=/opt/agentsession/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp

FROM runtime AS development
LABEL org.opencontainers.image.title="agentsession-development" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=equipment /build/root/opt/agentsession /opt/agentsession
USER 1000:1000
CMD ["agentsession-telegram-server"]

FROM runtime AS service
LABEL org.opencontainers.image.title="agentsession-service" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=application /build/root/opt/agentsession /opt/agentsession
USER 1000:1000
CMD ["agentsession-operator"]
