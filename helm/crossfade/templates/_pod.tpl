{{/* The pod, the same whether a StatefulSet or a Deployment makes it. */}}
{{- define "crossfade.pod" -}}
metadata:
  labels:
    {{- include "crossfade.podLabels" . | nindent 4 }}
  {{- $annotations := deepCopy .Values.podAnnotations }}
  {{- if .Values.rolloutOnConfigChange }}
  {{- $_ := set $annotations "checksum/config" (include "crossfade.config" . | sha256sum) }}
  {{- end }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "crossfade.serviceAccount" . }}
  automountServiceAccountToken: false
  # Kubernetes would add CROSSFADE_… variables for every Service beside this one.
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  # The drain is Crossfade's own: SIGTERM makes it unready, it still accepts for drain_wait, then finishes.
  terminationGracePeriodSeconds: {{ include "crossfade.gracePeriod" . }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: crossfade
      image: {{ include "crossfade.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/crossfade/config.yaml]
      env:
        # For `kubectl exec … -- crossfade health` and the like.
        - name: CROSSFADE_ADMIN_URL
          value: http://127.0.0.1:{{ include "crossfade.adminPort" . }}
        {{- range .Values.secrets }}
        {{- if .env }}
        - name: {{ .env }}
          valueFrom:
            secretKeyRef:
              name: {{ .secretName }}
              key: {{ .key }}
        {{- end }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: public
          containerPort: {{ include "crossfade.publicPort" . }}
          protocol: TCP
        - name: admin
          containerPort: {{ include "crossfade.adminPort" . }}
          protocol: TCP
      {{- with .Values.probes }}
      # A pod that waits for Redis, or checks a large store file, is alive and not ready; beginning anew would not help it.
      startupProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: {{ div (add (int .startupSeconds) 1) 2 }}
      # /livez asks nobody else; /readyz knows of no dependency either: an application or a legacy store that is
      # down takes no pod out.
      livenessProbe:
        httpGet: {path: /livez, port: admin}
        {{- toYaml .liveness | nindent 8 }}
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        {{- toYaml .readiness | nindent 8 }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        privileged: false
        readOnlyRootFilesystem: true
        runAsNonRoot: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: config
          mountPath: /etc/crossfade
          readOnly: true
        {{- if include "crossfade.embedded" . }}
        - name: state
          mountPath: /var/lib/crossfade
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    # One volume: the configuration and its secrets change together, by one swap of a link.
    - name: config
      projected:
        # 0440 in octal, for the group that fsGroup names.
        defaultMode: 288
        sources:
          - configMap:
              name: {{ include "crossfade.fullname" . }}
              items:
                - key: config.yaml
                  path: config.yaml
          {{- range .Values.secrets }}
          {{- if .file }}
          - secret:
              name: {{ .secretName }}
              items:
                - key: {{ .key }}
                  path: secrets/{{ .file }}
          {{- end }}
          {{- end }}
          {{- with .Values.tls.secretName }}
          - secret:
              name: {{ . }}
              items:
                - key: tls.crt
                  path: tls/tls.crt
                - key: tls.key
                  path: tls/tls.key
          {{- end }}
    {{- if and (include "crossfade.embedded" .) .Values.persistence.existingClaim }}
    - name: state
      persistentVolumeClaim:
        claimName: {{ .Values.persistence.existingClaim }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
  {{- else if gt (int .Values.replicaCount) 1 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "crossfade.selector" . | nindent 10 }}
  {{- end }}
{{- end -}}
