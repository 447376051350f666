{{/* What a sidecar may do in its namespace. With a source that is a file or a folder it needs none of it. */}}
{{- define "oxide-operator.agentRules" -}}
- apiGroups: [oxide.dev]
  resources: [oxideconfigs]
  verbs: {{ .Values.rbac.promotion | ternary "[get, list, watch, patch]" "[get, list, watch]" }}
- apiGroups: [oxide.dev]
  resources: [oxideconfigs/status]
  verbs: [patch]
- apiGroups: [oxide.dev]
  resources: [oxidestores]
  verbs: [list, watch, create, patch]
- apiGroups: [oxide.dev]
  resources: [oxidestores/status]
  verbs: [patch]
{{- $maps := .Values.rbac.configMapNames }}
{{- $all := has "*" $maps }}
{{- if and .Values.orchestrator.enabled (eq .Values.orchestrator.config.kind "ConfigMap") }}
{{- $maps = append $maps (include "oxide-operator.orchestrator.configName" .) | uniq }}
{{- end }}
{{- with $maps }}
- apiGroups: [""]
  resources: [configmaps]
  {{- if not $all }}
  resourceNames: {{ toJson . }}
  {{- end }}
  {{- /* Only a ConfigMap that is named is ever edited. */}}
  verbs: {{ and $.Values.rbac.promotion (not $all) | ternary "[get, list, watch, patch]" "[get, list, watch]" }}
{{- end }}
{{- with .Values.rbac.secretNames }}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson . }}
  verbs: [get, list, watch]
{{- end }}
# One sidecar of a namespace sums up the status of a configuration; this is how they agree on one. What is created has no name yet.
{{- $configs := .Values.rbac.oxideConfigNames }}
{{- $any := has "*" $configs }}
{{- if and .Values.orchestrator.enabled (eq .Values.orchestrator.config.kind "OxideConfig") }}
{{- $configs = append $configs (include "oxide-operator.orchestrator.configName" .) | uniq }}
{{- end }}
{{- with $configs }}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  {{- if not $any }}
  {{- $leases := list }}
  {{- range . }}
  {{- $leases = append $leases (printf "oxide-operator-%s" .) }}
  {{- end }}
  resourceNames: {{ toJson $leases }}
  {{- end }}
  verbs: [get, update]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
