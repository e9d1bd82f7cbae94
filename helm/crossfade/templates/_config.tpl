{{/* The configuration, and what the chart has to know of it. Everything else is Crossfade's own business: `crossfade
check` judges it, and a running pod refuses what it cannot use. */}}

{{- define "crossfade.storePath" -}}/var/lib/crossfade/crossfade.redb{{- end -}}

{{/* As given, with the embedded store in the volume where no store is chosen, and the number of replicas where they
share one: what each may do alone while Redis is away. */}}
{{- define "crossfade.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if not $config.store -}}
{{- $_ := set $config "store" (dict "embedded" (dict "path" (include "crossfade.storePath" .))) -}}
{{- end -}}
{{- $redis := $config.store.redis -}}
{{- if and (kindIs "map" $redis) (not (hasKey $redis "replicas")) (gt (int .Values.replicaCount) 0) -}}
{{- $_ := set $redis "replicas" (int .Values.replicaCount) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* "yes" when the one file in the volume is the store, which one process at a time may open. */}}
{{- define "crossfade.embedded" -}}
{{- if hasKey (include "crossfade.config" . | fromYaml).store "embedded" -}}yes{{- end -}}
{{- end -}}

{{- define "crossfade.port" -}}
{{- regexFind "[0-9]+$" (toString .) -}}
{{- end -}}

{{- define "crossfade.publicPort" -}}
{{- include "crossfade.port" .Values.config.public.listen -}}
{{- end -}}

{{- define "crossfade.adminPort" -}}
{{- include "crossfade.port" .Values.config.admin.listen -}}
{{- end -}}

{{/* A duration of the configuration in milliseconds: a whole number and one of ms, s, m, h, d. */}}
{{- define "crossfade.millis" -}}
{{- $text := toString . -}}
{{- if not (regexMatch "^[0-9]{1,9}(ms|s|m|h|d)$" $text) -}}
{{- fail (printf "config.public.limits: %q is no duration: write a whole number and ms, s, m, h or d" $text) -}}
{{- end -}}
{{- $factor := get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000) (regexFind "[a-z]+$" $text) -}}
{{- mul (regexFind "^[0-9]+" $text | int64) $factor -}}
{{- end -}}

{{/* What a stop takes at the longest, in seconds: the drain, then 15 s for what is being recorded, and a margin. */}}
{{- define "crossfade.stopSeconds" -}}
{{- $limits := .Values.config.public.limits | default dict -}}
{{- $wait := include "crossfade.millis" ($limits.drain_wait | default "5s") | int64 -}}
{{- $drain := include "crossfade.millis" ($limits.drain_timeout | default "30s") | int64 -}}
{{- add (div (add $wait $drain 999) 1000) 15 5 -}}
{{- end -}}

{{- define "crossfade.gracePeriod" -}}
{{- $needed := include "crossfade.stopSeconds" . | int -}}
{{- $given := .Values.terminationGracePeriodSeconds | int -}}
{{- if and $given (lt $given $needed) -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is less than the %d s that a stop can take (drain_wait, drain_timeout, 15 s to finish what is being recorded, and 5 s): raise it, or set 0" $given $needed) -}}
{{- end -}}
{{- $given | default $needed -}}
{{- end -}}

{{/* The names of allowed_hosts without their ports, for routes. */}}
{{- define "crossfade.hosts" -}}
{{- $hosts := list -}}
{{- range .Values.config.public.allowed_hosts -}}
{{- $hosts = append $hosts (regexReplaceAll ":[0-9]+$" . "") -}}
{{- end -}}
{{- dict "hosts" (uniq $hosts) | toYaml -}}
{{- end -}}

{{/* Every text that stands under the key .key, anywhere in .value: one a line. */}}
{{- define "crossfade.textsUnder" -}}
{{- $key := .key -}}
{{- if kindIs "map" .value -}}
{{- range $name, $value := .value -}}
{{- if and (eq $name $key) (kindIs "string" $value) }}
{{ $value }}
{{- else -}}
{{- include "crossfade.textsUnder" (dict "key" $key "value" $value) -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- range .value -}}
{{- include "crossfade.textsUnder" (dict "key" $key "value" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
