{{/* Names carry the release: several releases live side by side. Call: (list $ "gateway") */}}
{{- define "agentsession.name" -}}
{{- printf "%s-%s" (index . 0).Release.Name (index . 1) -}}
{{- end -}}

{{/* Names of cluster-scoped objects carry the namespace too; colons keep the parts apart. */}}
{{- define "agentsession.clusterName" -}}
{{- $root := index . 0 -}}
{{- printf "agentsession.dev:%s:%s:%s" $root.Release.Namespace $root.Release.Name (index . 1) -}}
{{- end -}}

{{- define "agentsession.selectorLabels" -}}
app.kubernetes.io/name: agentsession
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "agentsession.labels" -}}
{{- $root := index . 0 -}}
{{ include "agentsession.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{/* An image by its name under .Values.images. */}}
{{- define "agentsession.image" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $image := index $root.Values.images $name -}}
{{- $repository := required (printf "images.%s.repository is not set: build and push the images (`make images PUSH=registry/prefix`) and give the repository they are in" $name) $image.repository -}}
{{- printf "%s:%s" $repository ($image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}

{{/* Anything that must be right before the first object is made. */}}
{{- define "agentsession.checks" -}}
{{- $anthropic := .Values.gateway.models.anthropic -}}
{{- if has .Release.Namespace .Values.sessions.namespaces -}}
{{- fail (printf "sessions.namespaces holds %s, the release's own namespace: the gateway may read Secrets where sessions are, so they live in namespaces of their own" .Release.Namespace) -}}
{{- end -}}
{{- if and (not .Values.redis.enabled) (not .Values.redis.url) -}}
{{- fail "redis.enabled is false and redis.url is empty: give the URL of your Redis or Valkey, e.g. redis://redis.example.com:6379/0" -}}
{{- end -}}
{{- if and .Values.redis.enabled .Values.redis.url -}}
{{- fail "redis.url is set although redis.enabled is true: set redis.enabled=false to use your own" -}}
{{- end -}}
{{- if gt (len (compact (list $anthropic.apiKey $anthropic.existingSecret $anthropic.oauthToken))) 1 -}}
{{- fail "give only one of gateway.models.anthropic.apiKey, .existingSecret and .oauthToken" -}}
{{- end -}}
{{- $database := .Values.orchestrator.database -}}
{{- if and (not $database.url) (gt (int .Values.orchestrator.replicas) 1) -}}
{{- fail (printf "orchestrator.replicas is %d, and SQLite takes one process: give orchestrator.database.url of a PostgreSQL" (int .Values.orchestrator.replicas)) -}}
{{- end -}}
{{- if and (not $database.url) (or $database.password $database.existingSecret) -}}
{{- fail "orchestrator.database has a password and no url: give postgresql://USER@HOST:5432/NAME, or leave out the password for SQLite" -}}
{{- end -}}
{{- if and $database.password $database.existingSecret -}}
{{- fail "give only one of orchestrator.database.password and orchestrator.database.existingSecret" -}}
{{- end -}}
{{- $days := .Values.orchestrator.retentionDays -}}
{{- range $what, $kept := omit $days "audit" -}}
{{- if and (gt (int $days.audit) 0) (or (eq (int $kept) 0) (gt (int $kept) (int $days.audit))) -}}
{{- fail (printf "orchestrator.retentionDays.audit is %d and .%s is %d: the audit log is kept longest, give it as many days, or 0 for ever" (int $days.audit) $what (int $kept)) -}}
{{- end -}}
{{- end -}}
{{- $telegram := .Values.bridge.telegram -}}
{{- if and $telegram.token $telegram.existingSecret -}}
{{- fail "give only one of bridge.telegram.token and bridge.telegram.existingSecret" -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled $telegram.webhookURL (not .Values.networkPolicy.webhookFrom) -}}
{{- fail "networkPolicy.webhookFrom is empty although bridge.telegram.webhookURL is set: name who brings Telegram's updates, e.g. [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}]" -}}
{{- end -}}
{{- $routing := .Values.bridge.routing -}}
{{- if and (or (not $routing.useCLIAgent) (lt (int $routing.cliAgentPercent) 100)) (not $routing.otherTemplate) -}}
{{- fail "bridge.routing.otherTemplate is empty: name the AgentSessionTemplate of those who do not get the CLI agent" -}}
{{- end -}}
{{- if and .Values.telegramServer.enabled (or $telegram.token $telegram.existingSecret) (not $telegram.apiURL) -}}
{{- fail "telegramServer.enabled would be sent your bot's token: leave out the token, or set bridge.telegram.apiURL to where it belongs" -}}
{{- end -}}
{{- range .Values.networkPolicy.extraDenied -}}
{{- if le (int (last (splitList "/" .))) 3 -}}
{{- fail (printf "networkPolicy.extraDenied holds %s, most of the world: set defaultTemplate.network=None for agents without the world" .) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.modelServer.enabled (or $anthropic.apiKey $anthropic.existingSecret $anthropic.oauthToken) (not $anthropic.baseURL) -}}
{{- fail "modelServer.enabled would be sent your model key: leave out the key, or set gateway.models.anthropic.baseURL to where it belongs" -}}
{{- end -}}
{{- end -}}

{{/* A secret made once: kept from the cluster when it is there, the same in the whole rendering.
     Call: (list $ "secret name" "key"), with a fourth item if it is to be another than 40 letters. */}}
{{- define "agentsession.generated" -}}
{{- $root := index . 0 -}}
{{- $id := printf "%s/%s" (index . 1) (index . 2) -}}
{{- if not (hasKey $root.Values "_generated") -}}
{{- $_ := set $root.Values "_generated" dict -}}
{{- end -}}
{{- $known := index $root.Values "_generated" -}}
{{- if not (hasKey $known $id) -}}
{{- $secret := lookup "v1" "Secret" $root.Release.Namespace (index . 1) | default dict -}}
{{- $present := index ($secret.data | default dict) (index . 2) | default "" -}}
{{- $new := gt (len .) 3 | ternary (last .) (randAlphaNum 40) -}}
{{- $_ := set $known $id (ternary ($present | b64dec) $new (ne $present "")) -}}
{{- end -}}
{{- index $known $id -}}
{{- end -}}

{{/* The Secret with redis-password; empty if a Redis of one's own has none. */}}
{{- define "agentsession.redisSecret" -}}
{{- if .Values.redis.existingSecret -}}
{{- .Values.redis.existingSecret -}}
{{- else if or .Values.redis.enabled .Values.redis.password -}}
{{- include "agentsession.name" (list . "redis") -}}
{{- end -}}
{{- end -}}

{{- define "agentsession.redisPassword" -}}
{{- if .Values.redis.password -}}
{{- .Values.redis.password -}}
{{- else -}}
{{- include "agentsession.generated" (list . (include "agentsession.name" (list . "redis")) "redis-password") -}}
{{- end -}}
{{- end -}}

{{/* The Secret with the model's credentials; empty if there are none. */}}
{{- define "agentsession.modelSecret" -}}
{{- $anthropic := .Values.gateway.models.anthropic -}}
{{- if $anthropic.existingSecret -}}
{{- $anthropic.existingSecret -}}
{{- else if or $anthropic.apiKey $anthropic.oauthToken -}}
{{- include "agentsession.name" (list . "model") -}}
{{- else if .Values.modelServer.enabled -}}
{{- include "agentsession.name" (list . "model-server") -}}
{{- end -}}
{{- end -}}

{{/* The Secret with telegram-token; empty if there is no bot, and so no bridge. */}}
{{- define "agentsession.telegramSecret" -}}
{{- if .Values.bridge.telegram.existingSecret -}}
{{- .Values.bridge.telegram.existingSecret -}}
{{- else if or .Values.bridge.telegram.token .Values.telegramServer.enabled -}}
{{- include "agentsession.name" (list . "telegram") -}}
{{- end -}}
{{- end -}}

{{- define "agentsession.telegramURL" -}}
{{- if .Values.bridge.telegram.apiURL -}}
{{- .Values.bridge.telegram.apiURL -}}
{{- else if .Values.telegramServer.enabled -}}
{{- printf "http://%s:8081" (include "agentsession.name" (list . "telegram-server")) -}}
{{- else -}}
https://api.telegram.org
{{- end -}}
{{- end -}}

{{- define "agentsession.modelBaseURL" -}}
{{- $anthropic := .Values.gateway.models.anthropic -}}
{{- if $anthropic.baseURL -}}
{{- $anthropic.baseURL -}}
{{- else if .Values.modelServer.enabled -}}
{{- printf "http://%s:8080" (include "agentsession.name" (list . "model-server")) -}}
{{- else -}}
https://api.anthropic.com
{{- end -}}
{{- end -}}

{{- define "agentsession.redisURL" -}}
{{- if .Values.redis.enabled -}}
{{- printf "redis://%s:6379/0" (include "agentsession.name" (list . "redis")) -}}
{{- else -}}
{{- .Values.redis.url -}}
{{- end -}}
{{- end -}}

{{/* The Secret with what encrypts projects' secrets. */}}
{{- define "agentsession.encryptionSecret" -}}
{{- .Values.orchestrator.encryption.existingSecret | default (include "agentsession.name" (list . "orchestrator")) -}}
{{- end -}}

{{/* The Secret with PostgreSQL's password; empty if there is none. */}}
{{- define "agentsession.databaseSecret" -}}
{{- $database := .Values.orchestrator.database -}}
{{- if $database.existingSecret -}}
{{- $database.existingSecret -}}
{{- else if $database.password -}}
{{- include "agentsession.name" (list . "orchestrator-database") -}}
{{- end -}}
{{- end -}}

{{- define "agentsession.orchestratorConfig" -}}
{{- $database := .Values.orchestrator.database -}}
{{- $rateLimit := .Values.orchestrator.rateLimit -}}
{{- dict
    "port" 8080
    "metricsPort" 9090
    "url" (printf "http://%s.%s.svc:8080" (include "agentsession.name" (list . "orchestrator")) .Release.Namespace)
    "approvals" .Values.orchestrator.approvals
    "retentionDays" .Values.orchestrator.retentionDays
    "rateLimit" (dict "requestsPerMinute" (int $rateLimit.requestsPerMinute) "burst" (int $rateLimit.burst))
    "database" (dict "url" ($database.url | default "sqlite:////var/lib/orchestrator/orchestrator.db") "connections" (int $database.connections))
    | toYaml -}}
{{- end -}}

{{/* Annotations of what migrates PostgreSQL. Call: its weight. */}}
{{- define "agentsession.migrationHook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ quote . }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "agentsession.bridgeConfig" -}}
{{- $bridge := .Values.bridge -}}
{{- dict
    "port" 8080
    "metricsPort" 9090
    "url" (printf "http://%s.%s.svc:8080" (include "agentsession.name" (list . "bridge")) .Release.Namespace)
    "telegram" (dict "apiURL" (include "agentsession.telegramURL" .) "webhookURL" $bridge.telegram.webhookURL)
    "limits" $bridge.limits
    "pairing" (dict "enabled" $bridge.pairing.enabled)
    "routing" $bridge.routing
    | toYaml -}}
{{- end -}}

{{/* config.yaml of operator, gateway, bridge and orchestrator. */}}
{{- define "agentsession.config" -}}
{{- $agent := dict "image" (include "agentsession.image" (list . "agent")) "pullPolicy" .Values.images.agent.pullPolicy -}}
{{- $models := dict "anthropic" (dict "baseURL" (include "agentsession.modelBaseURL" .)) "prices" .Values.gateway.models.prices -}}
{{- $gateway := dict "url" (printf "http://%s.%s.svc:8080" (include "agentsession.name" (list . "gateway")) .Release.Namespace) "port" 8080 "metricsPort" 9090 "serviceAccount" (include "agentsession.name" (list . "gateway")) "models" $models -}}
{{- $operator := merge (dict "port" 8080 "metricsPort" 9090) .Values.operator.settings -}}
{{- $orchestrator := dict -}}
{{- if .Values.orchestrator.enabled -}}
{{- $orchestrator = include "agentsession.orchestratorConfig" . | fromYaml -}}
{{- end -}}
{{- dict
    "release" .Release.Name
    "namespace" .Release.Namespace
    "sessionNamespaces" .Values.sessions.namespaces
    "logLevel" .Values.logLevel
    "redis" (dict "url" (include "agentsession.redisURL" .))
    "agentImages" (dict "claude-code" $agent)
    "defaults" .Values.defaults
    "gateway" $gateway
    "operator" $operator
    "bridge" (include "agentsession.bridgeConfig" . | fromYaml)
    "orchestrator" $orchestrator
    "rollout" .Values.rollout
    | toYaml -}}
{{- end -}}

{{/* What a pod of the service image has in common. Call: (list $ "gateway" .Values.gateway) */}}
{{- define "agentsession.podSettings" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "agentsession.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "agentsession.image.spec" -}}
image: {{ include "agentsession.image" . }}
imagePullPolicy: {{ (index (index . 0).Values.images (index . 1)).pullPolicy }}
{{- end -}}

{{/* HTTP probes of the services. Readiness asks what they work with, hence its timeout. */}}
{{- define "agentsession.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{- define "agentsession.podAnnotations" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
{{- $annotations := dict
    "checksum/config" (include "agentsession.config" $root | sha256sum)
    "checksum/secrets" (include (print $root.Template.BasePath "/secrets.yaml") $root | sha256sum)
    "prometheus.io/scrape" "true"
    "prometheus.io/port" "9090" -}}
{{- merge (dict) $values.podAnnotations $annotations | toYaml -}}
{{- end -}}

{{/* What an agent with `network: Internet` does not reach, as lists of CIDRs: what is private, what
     belongs to this host or link (169.254.0.0/16 has the clouds' metadata), what is no unicast, and
     what the values add. */}}
{{- define "agentsession.notPublic.ipv4" -}}
{{- $denied := list
    "0.0.0.0/8" "10.0.0.0/8" "100.64.0.0/10" "127.0.0.0/8" "169.254.0.0/16" "172.16.0.0/12"
    "192.0.0.0/24" "192.168.0.0/16" "198.18.0.0/15" "224.0.0.0/4" "240.0.0.0/4" -}}
{{- range .Values.networkPolicy.extraDenied -}}
{{- if not (contains ":" .) -}}{{- $denied = append $denied . -}}{{- end -}}
{{- end -}}
{{- uniq $denied | toYaml -}}
{{- end -}}

{{/* The same inside of 2000::/3: Teredo and 6to4 carry IPv4 addresses, private ones too. What is
     outside of it is denied already, and an exception outside of its block would be refused. */}}
{{- define "agentsession.notPublic.ipv6" -}}
{{- $denied := list "2001::/32" "2002::/16" -}}
{{- range .Values.networkPolicy.extraDenied -}}
{{- if regexMatch "^[23][0-9A-Fa-f]{3}:" . -}}{{- $denied = append $denied . -}}{{- end -}}
{{- end -}}
{{- uniq $denied | toYaml -}}
{{- end -}}

{{/* All that is public, as peers of a NetworkPolicy. */}}
{{- define "agentsession.world" -}}
- ipBlock:
    cidr: 0.0.0.0/0
    except:
      {{- include "agentsession.notPublic.ipv4" . | nindent 6 }}
- ipBlock:
    # All of IPv6 that is public; what is outside of it needs no exception.
    cidr: 2000::/3
    except:
      {{- include "agentsession.notPublic.ipv6" . | nindent 6 }}
{{- end -}}

{{/* The port of a URL. Call: (list url "port without one"); http without one is 80. */}}
{{- define "agentsession.portOf" -}}
{{- $url := urlParse (index . 0) -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary 80 (index . 1) (eq $url.scheme "http")) -}}
{{- end -}}

{{/* Egress rules that several parts have: names, ... */}}
{{- define "agentsession.dnsEgress" -}}
{{- with .Values.networkPolicy.dns -}}
# Names.
- to:
    {{- toYaml . | nindent 4 }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end -}}
{{- end -}}

{{/* ... Redis, of which one of your own is anywhere, ... */}}
{{- define "agentsession.redisEgress" -}}
{{- if .Values.redis.enabled -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "agentsession.selectorLabels" (list . "redis") | nindent 10 }}
  ports:
    - {protocol: TCP, port: 6379}
{{- else -}}
- ports:
    - {protocol: TCP, port: {{ include "agentsession.portOf" (list .Values.redis.url 6379) }}}
{{- end -}}
{{- end -}}

{{/* ... and the API server. A chart cannot know its address: any, unless the values say. */}}
{{- define "agentsession.apiServerEgress" -}}
{{- $server := .Values.networkPolicy.apiServer -}}
- ports:
    {{- range $server.ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with $server.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The ingress rule for metrics; empty if nobody may scrape. */}}
{{- define "agentsession.metricsIngress" -}}
{{- with .Values.networkPolicy.metricsFrom -}}
- from:
    {{- toYaml . | nindent 4 }}
  ports:
    - {protocol: TCP, port: 9090}
{{- end -}}
{{- end -}}

{{/* Pods of `helm test`: they run where runs do, so their images are pulled as run pods' are. */}}
{{- define "agentsession.testPodSettings" -}}
{{- with dig "pod" "imagePullSecrets" list .Values.defaultTemplate }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "agentsession.testContainer" -}}
{{ include "agentsession.image.spec" (list . "service") }}
resources:
  requests: {cpu: 10m, memory: 32Mi, ephemeral-storage: 8Mi}
  limits: {memory: 128Mi, ephemeral-storage: 8Mi}
securityContext:
  {{- include "agentsession.containerSecurity" . | nindent 2 }}
{{- end -}}

{{/* A list of ids as JSON: helm reads large numbers of values as floats, which toYaml writes as 1e+09. */}}
{{- define "agentsession.integers" -}}
{{- $numbers := list -}}
{{- range . -}}
{{- $numbers = append $numbers (int64 . | toString) -}}
{{- end -}}
[{{ join ", " $numbers }}]
{{- end -}}
