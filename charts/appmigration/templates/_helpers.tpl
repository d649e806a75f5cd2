{{/* The name of everything that the chart makes. */}}
{{- define "appmigration.fullname" -}}
{{- printf "%s-operator" (.Release.Name | trunc 54 | trimSuffix "-") -}}
{{- end -}}

{{- define "appmigration.selectorLabels" -}}
app.kubernetes.io/name: appmigration
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "appmigration.labels" -}}
{{ include "appmigration.selectorLabels" . }}
app.kubernetes.io/part-of: appmigration
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end -}}

{{- define "appmigration.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "appmigration.fullname" . -}}
{{- else -}}
{{- fail "serviceAccount.name is required where serviceAccount.create is false" -}}
{{- end -}}
{{- end -}}

{{- define "appmigration.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
