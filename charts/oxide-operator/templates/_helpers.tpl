{{- define "oxide-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 48, so that every ending that is added stays within the 63 of a label. */}}
{{- define "oxide-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "oxide-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* For objects without a namespace: two releases of one name in two namespaces must not share them. */}}
{{- define "oxide-operator.clusterName" -}}
{{- printf "%s.%s.oxide.dev" (include "oxide-operator.fullname" .) (include "oxide-operator.namespace" .) -}}
{{- end -}}

{{/* The namespaces with sidecars, as JSON. */}}
{{- define "oxide-operator.namespaces" -}}
{{- $home := list (include "oxide-operator.namespace" .) -}}
{{- $namespaces := .Values.rbac.namespaces | default $home -}}
{{- if .Values.orchestrator.enabled -}}
{{- $namespaces = concat $namespaces $home -}}
{{- end -}}
{{- $namespaces | uniq | toJson -}}
{{- end -}}

{{- define "oxide-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "oxide-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "oxide-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "oxide-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: oxide
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
The metadata of an object: root, name, and where they apply namespace, component, labels, annotations. What the object itself
says comes before what is common to all.
*/}}
{{- define "oxide-operator.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
{{- $labels := include "oxide-operator.labels" .root | fromYaml }}
{{- with .component }}
{{- $labels = merge (dict "app.kubernetes.io/component" .) $labels }}
{{- end }}
labels:
  {{- toYaml (merge (dict) (.labels | default dict) $labels) | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image: the values of one, and `default` for its tag. */}}
{{- define "oxide-operator.imageOf" -}}
{{- $name := .image.repository -}}
{{- with .image.registry -}}
{{- $name = printf "%s/%s" . $name -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .default) -}}
{{- end -}}
{{- end -}}

{{- define "oxide-operator.image" -}}
{{- include "oxide-operator.imageOf" (dict "image" .Values.image "default" .Chart.AppVersion) -}}
{{- end -}}

{{/* The names of all Secrets that open a registry, as JSON. */}}
{{- define "oxide-operator.imagePullSecrets" -}}
{{- $names := list -}}
{{- range concat .Values.global.imagePullSecrets .Values.imagePullSecrets -}}
{{- if kindIs "map" . -}}
{{- $names = append $names .name -}}
{{- else -}}
{{- $names = append $names . -}}
{{- end -}}
{{- end -}}
{{- $names | uniq | toJson -}}
{{- end -}}

{{/* Whether an object of the Prometheus operator is rendered, from root, kind and renderMode: "yes" or nothing. */}}
{{- define "oxide-operator.renders" -}}
{{- $api := printf "monitoring.coreos.com/v1/%s" .kind -}}
{{- $known := or (.root.Capabilities.APIVersions.Has $api) (.root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") -}}
{{- if or $known (eq .renderMode "alwaysRender") -}}
yes
{{- else if eq .renderMode "failIfMissing" -}}
{{- fail (printf "this cluster has no %s (monitoring.coreos.com/v1): install the Prometheus operator first, or set renderMode to skipIfMissing" .kind) -}}
{{- end -}}
{{- end -}}
