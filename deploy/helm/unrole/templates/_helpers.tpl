{{- define "unrole.pod" -}}
automountServiceAccountToken: false
securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "unrole.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
volumeMounts:
  - {name: secrets, mountPath: /run/secrets/unrole, readOnly: true}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "unrole.env" -}}
{{- range $name, $value := . }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- /* Each process sees the secrets that it needs. */ -}}
{{- define "unrole.volumes" -}}
volumes:
  - name: secrets
    secret: {secretName: {{ .secretName }}, defaultMode: 0440, items: [{{ range $i, $key := .keys }}{{ if $i }}, {{ end }}{key: {{ $key }}, path: {{ $key }}}{{ end }}]}
  - {name: tmp, emptyDir: {sizeLimit: {{ .tmp }}}}
{{- end }}

{{- define "unrole.spread" -}}
topologySpreadConstraints:
  - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: {{ . }}}}}
{{- end }}
