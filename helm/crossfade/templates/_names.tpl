{{/* Names and labels. */}}

{{- define "crossfade.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Room is left for the longest suffix, "-admin". */}}
{{- define "crossfade.fullname" -}}
{{- $name := include "crossfade.name" . -}}
{{- $release := .Release.Name -}}
{{- if contains $name $release -}}{{- $name = $release -}}{{- else -}}{{- $name = printf "%s-%s" $release $name -}}{{- end -}}
{{- .Values.fullnameOverride | default $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* What selects the pods: must never change, it cannot be changed in a running release. */}}
{{- define "crossfade.selector" -}}
app.kubernetes.io/name: {{ include "crossfade.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "crossfade.labels" -}}
{{- $own := dict
    "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
    "app.kubernetes.io/version" .Chart.AppVersion
    "app.kubernetes.io/managed-by" .Release.Service
    "app.kubernetes.io/part-of" "crossfade" -}}
{{- merge (include "crossfade.selector" . | fromYaml) $own .Values.commonLabels | toYaml -}}
{{- end -}}

{{/* Without the versions: an upgrade that changes nothing else replaces no pod. */}}
{{- define "crossfade.podLabels" -}}
{{- merge (include "crossfade.selector" . | fromYaml) .Values.podLabels .Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "crossfade.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "crossfade.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- define "crossfade.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}
