{{/* The name of everything that the chart makes. */}}
{{- define "appmigration.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- printf "%s-operator" (.Release.Name | trunc 54 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "appmigration.selectorLabels" -}}
app.kubernetes.io/name: appmigration
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* What selects Pods stays as it is; everything else the user may name anew. */}}
{{- define "appmigration.labels" -}}
{{- $ours := dict
  "app.kubernetes.io/part-of" "appmigration"
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_"))
-}}
{{- merge (include "appmigration.selectorLabels" . | fromYaml) .Values.commonLabels $ours | toYaml -}}
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

{{/* As the operator itself names it: one for each set of objects. */}}
{{- define "appmigration.leaseName" -}}
{{- if .Values.watchNamespace -}}
{{- printf "appmigration-operator.%s" .Values.watchNamespace -}}
{{- else -}}
appmigration-operator
{{- end -}}
{{- end -}}
