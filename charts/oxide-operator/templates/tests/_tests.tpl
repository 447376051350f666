{{/* Where the test runs: its pod must be covered by the injection. */}}
{{- define "oxide-operator.test.namespace" -}}
{{- include "oxide-operator.namespaces" . | fromJsonArray | first -}}
{{- end -}}

{{- define "oxide-operator.test.name" -}}
{{- printf "%s-test" (include "oxide-operator.fullname" .) -}}
{{- end -}}

{{/* Takes root, weight, and where they apply name, labels, annotations. Whatever a test makes is gone when it succeeded. */}}
{{- define "oxide-operator.test.metadata" -}}
{{- $hook := dict "helm.sh/hook" "test" "helm.sh/hook-weight" (toString .weight) "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" -}}
{{- include "oxide-operator.metadata" (dict "root" .root "name" (.name | default (include "oxide-operator.test.name" .root)) "namespace" (include "oxide-operator.test.namespace" .root) "component" "test" "labels" .labels "annotations" (merge (.annotations | default dict) $hook)) -}}
{{- end -}}

{{- define "oxide-operator.test.podSettings" -}}
restartPolicy: Never
enableServiceLinks: false
serviceAccountName: {{ include "oxide-operator.test.name" . }}
activeDeadlineSeconds: {{ .Values.tests.timeoutSeconds }}
{{- with include "oxide-operator.imagePullSecrets" . | fromJsonArray }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "oxide-operator.test.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
