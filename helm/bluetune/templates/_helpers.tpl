{{- define "bluetune.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "bluetune.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "bluetune.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "bluetune.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "bluetune.selectorLabels" -}}
app.kubernetes.io/name: {{ include "bluetune.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bluetune.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "bluetune.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: bluetune
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "bluetune.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "bluetune.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* An image reference. Takes a dict: image (repository, tag, digest) and version (the default tag). */}}
{{- define "bluetune.image" -}}
{{- if .image.digest }}
{{- printf "%s@%s" .image.repository .image.digest }}
{{- else }}
{{- printf "%s:%s" .image.repository (default .version .image.tag) }}
{{- end }}
{{- end }}

{{/* What the operator may do in a namespace that it looks after. docs/operations.md says what each verb is for. */}}
{{- define "bluetune.rules" -}}
- apiGroups: [bluetune.dev]
  resources: [embeddingmodels, finetuningmethods, finetuningtasks]
  verbs: [get, list, watch]
- apiGroups: [bluetune.dev]
  resources: [embeddingmodels/status, finetuningmethods/status, finetuningtasks/status]
  verbs: [update]
- apiGroups: [bluetune.dev]
  resources: [finetuningtasks]
  verbs: [create, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, patch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, update]
- apiGroups: [""]
  resources: [events]
  verbs: [get, list, create, update]
{{- if .Values.kueue.enabled }}
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list]
{{- end }}
{{- if .Values.workloadIdentity.enabled }}
- apiGroups: [""]
  resources: [serviceaccounts]
  {{- with .Values.workloadIdentity.serviceAccountNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [get]
- apiGroups: [""]
  resources: [serviceaccounts/token]
  {{- with .Values.workloadIdentity.serviceAccountNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [create]
{{- end }}
{{- if not .Values.rbac.secretNamespaces }}
{{ include "bluetune.secretRule" . }}
{{- end }}
{{- end }}

{{- define "bluetune.secretRule" -}}
- apiGroups: [""]
  resources: [secrets]
  {{- with .Values.rbac.secretNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [get]
{{- end }}

{{/* CEL: whether an image is one of a list, whose entries may end in * for anything. Takes a dict: images, image. */}}
{{- define "bluetune.imageExpression" -}}
{{- $terms := list }}
{{- range .images }}
{{- if hasSuffix "*" . }}
{{- $terms = append $terms (printf "%s.startsWith(%s)" $.image (trimSuffix "*" . | toJson)) }}
{{- else }}
{{- $terms = append $terms (printf "%s == %s" $.image (toJson .)) }}
{{- end }}
{{- end -}}
({{ join " || " $terms }})
{{- end }}
