# The image of a run pod: the runner and one agent CLI. A build target per CLI.
#
#   docker build -f images/agent.Dockerfile --target claude-code -t REGISTRY/agentsession-agent:TAG .
#
# Claude Code's licence does not allow others to publish it: keep the image in a registry of your own.
# Behind a proxy with a certificate of its own:  --secret id=ca-bundle,src=/etc/ssl/certs/ca-certificates.crt
ARG BASE=debian:trixie-slim

# Fetches the CLIs from npm: they are native binaries, so Node itself stays in this stage.
FROM ${BASE} AS npm
COPY requirements/node.txt /build/
RUN --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export PIP_CERT=/run/secrets/ca-bundle; fi \
 && apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /build/tools \
 && /build/tools/bin/pip install --no-cache-dir --no-compile --require-hashes -r /build/node.txt

# `npm ci` leaves out content that does not match the integrity hash in package-lock.json. It does so
# without an error, because the package is optional for it (which one depends on the processor).
FROM npm AS claude-code-binary
WORKDIR /build/claude-code
COPY images/claude-code/package.json images/claude-code/package-lock.json ./
RUN --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca-bundle; fi \
 && /build/tools/bin/npm ci --ignore-scripts --no-audit --no-fund --cache /tmp/npm \
 && { ls node_modules/@anthropic-ai/claude-code-linux-*/claude > /dev/null 2>&1 \
      || { echo "no Claude Code for this processor, or its content is not what package-lock.json says" >&2; exit 1; }; } \
 && mv node_modules/@anthropic-ai/claude-code-linux-*/claude /usr/local/bin/claude \
 && rm -rf node_modules /tmp/npm \
 && claude --version

FROM ${BASE} AS agent
RUN apt-get update \
 && apt-get install -y --no-install-recommends bash ca-certificates git python3 ripgrep \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
 && useradd --uid 1000 --user-group --create-home --home-dir /home/agent --shell /bin/bash agent \
 && install -d -o agent -g agent /workspace \
 # Found without PYTHONPATH, which the agent's own Python programs would inherit.
 && mkdir -p /opt/agentsession \
 && echo /opt/agentsession > "$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/agentsession.pth"

FROM agent AS runner
COPY agent-image/agentsession_runner /opt/agentsession/agentsession_runner
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/agentsession \
 && python3 -c 'import agentsession_runner'

# The orchestrator command in an environment of its own: what the agent installs or sets is none of it.
FROM agent AS orchestrator
COPY requirements/agent.txt pyproject.toml /build/
RUN --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export PIP_CERT=/run/secrets/ca-bundle; fi \
 && apt-get update \
 && apt-get install -y --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /build/tools \
 && python3 -m venv --without-pip /opt/orchestrator \
 && /build/tools/bin/pip --python /opt/orchestrator/bin/python install \
        --no-cache-dir --no-compile --require-hashes --only-binary :all: -r /build/agent.txt
COPY cli/orchestrator_cli /build/orchestrator_cli
# With what `version` reads: the release.
RUN cd "$(/opt/orchestrator/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
 && cp -r /build/orchestrator_cli . \
 && release="$(python3 -c 'import tomllib; print(tomllib.load(open("/build/pyproject.toml", "rb"))["project"]["version"])')" \
 && mkdir "agentsession-$release.dist-info" \
 && printf 'Metadata-Version: 2.1\nName: agentsession\nVersion: %s\n' "$release" > "agentsession-$release.dist-info/METADATA" \
 && python3 -m compileall -q --invalidation-mode unchecked-hash . \
 && printf '%s\n' '#!/opt/orchestrator/bin/python -I' 'from orchestrator_cli.app import main' 'main()' > /opt/orchestrator/bin/orchestrator \
 && chmod 0755 /opt/orchestrator/bin/orchestrator \
 && /opt/orchestrator/bin/orchestrator version

FROM agent AS claude-code
LABEL org.opencontainers.image.title="agentsession-agent (claude-code)"
COPY --from=claude-code-binary /usr/local/bin/claude /usr/local/bin/claude
COPY --from=orchestrator /opt/orchestrator /opt/orchestrator
COPY --from=runner /opt/agentsession /opt/agentsession
# Codex runs commands in a login shell, for which Debian sets PATH anew: /usr/local/bin is in it.
RUN ln -s /opt/orchestrator/bin/orchestrator /usr/local/bin/orchestrator
COPY skills /opt/agentsession/skills
ENV HOME=/home/agent \
    PYTHONUNBUFFERED=1 \
    AGENTSESSION_CLI_VERSION=2.1.330 \
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 \
    DISABLE_AUTOUPDATER=1 \
    DISABLE_ERROR_REPORTING=1 \
    DISABLE_TELEMETRY=1
USER 1000:1000
WORKDIR /workspace
# -I: modules that an agent left in the workspace are not imported.
ENTRYPOINT ["python3", "-I", "-m", "agentsession_runner"]
