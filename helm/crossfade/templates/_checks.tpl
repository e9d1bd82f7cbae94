{{/* What no schema can say: refused before anything reaches the cluster, each with its fix. */}}
{{- define "crossfade.checks" -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository: required: where your registry has Crossfade's image, such as registry.example.com/crossfade" -}}
{{- end -}}
{{- range $name := list "public" "admin" -}}
{{- $path := printf "config.%s.listen" $name -}}
{{- $listen := toString (get (get $.Values.config $name) "listen") -}}
{{- $port := include "crossfade.port" $listen | int -}}
{{- if or (lt $port 1024) (not (contains ":" $listen)) -}}
{{- fail (printf "%s: %q cannot be used in a pod: an address and a port from 1024 on are needed, such as 0.0.0.0:8080" $path $listen) -}}
{{- end -}}
{{- if regexMatch "^(127\\.|localhost|\\[::1\\])" $listen -}}
{{- fail (printf "%s: %q is loopback, where neither Services nor the kubelet's probes reach it: write 0.0.0.0:%d" $path $listen $port) -}}
{{- end -}}
{{- end -}}
{{- if eq (include "crossfade.publicPort" .) (include "crossfade.adminPort" .) -}}
{{- fail "config.admin.listen: has the port of config.public.listen: choose another one" -}}
{{- end -}}
{{- $config := include "crossfade.config" . | fromYaml -}}
{{- if include "crossfade.embedded" . -}}
{{- if gt (int .Values.replicaCount) 1 -}}
{{- fail (printf "replicaCount: %d replicas cannot share the embedded store, which one process at a time may open: set replicaCount to 1, or choose a shared store under config.store" (int .Values.replicaCount)) -}}
{{- end -}}
{{- $path := toString $config.store.embedded.path -}}
{{- if not (hasPrefix "/var/lib/crossfade/" $path) -}}
{{- fail (printf "config.store.embedded.path: %q is not in the volume: leave config.store out, or write /var/lib/crossfade/…" $path) -}}
{{- end -}}
{{- end -}}
{{- include "crossfade.checkSecrets" (dict "root" . "config" $config) -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) (not .Values.config.public.allowed_hosts) -}}
{{- fail "ingress.hosts: no name is known: fill config.public.allowed_hosts" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: required: the Gateway that the route belongs to" -}}
{{- end -}}
{{- end -}}

{{/* Every secret that the configuration refers to comes from somewhere. */}}
{{- define "crossfade.checkSecrets" -}}
{{- $values := .root.Values -}}
{{- $variables := list -}}
{{- $files := list -}}
{{- range $values.secrets -}}
{{- if .env -}}{{- $variables = append $variables .env -}}{{- else -}}{{- $files = append $files (printf "secrets/%s" .file) -}}{{- end -}}
{{- end -}}
{{- range $values.extraEnv -}}{{- $variables = append $variables .name -}}{{- end -}}
{{- if ne (len (uniq $variables)) (len $variables) -}}
{{- fail "secrets, extraEnv: a variable is given twice" -}}
{{- end -}}
{{- if ne (len (uniq $files)) (len $files) -}}
{{- fail "secrets: a file is given twice" -}}
{{- end -}}
{{- $missing := list -}}
{{- range include "crossfade.textsUnder" (dict "key" "env" "value" .config) | splitList "\n" | compact | uniq -}}
{{- if not (has . $variables) -}}
{{- $missing = append $missing (printf "the variable %s: {env: %s, secretName: …, key: …}" . .) -}}
{{- end -}}
{{- end -}}
{{- range include "crossfade.textsUnder" (dict "key" "file" "value" .config) | splitList "\n" | compact | uniq -}}
{{- $name := trimPrefix "/etc/crossfade/" . -}}
{{- if and (hasPrefix "secrets/" $name) (not (has $name $files)) -}}
{{- $missing = append $missing (printf "the file %s: {file: %s, secretName: …, key: …}" . (trimPrefix "secrets/" $name)) -}}
{{- end -}}
{{- end -}}
{{- if $missing -}}
{{- fail (printf "secrets: config refers to what nothing gives; add\n  for %s" (join "\n  for " $missing)) -}}
{{- end -}}
{{- end -}}
