{{- define "oxide-operator.orchestrator.name" -}}
{{- printf "%s-orchestrator" (include "oxide-operator.fullname" .) -}}
{{- end -}}

{{- define "oxide-operator.orchestrator.labels" -}}
{{ include "oxide-operator.selectorLabels" . }}
app.kubernetes.io/component: orchestrator
{{- end -}}

{{- define "oxide-operator.orchestrator.serviceAccount" -}}
{{- with .Values.orchestrator.serviceAccount -}}
{{- if .create -}}
{{- .name | default (include "oxide-operator.orchestrator.name" $) -}}
{{- else -}}
{{- .name | default "default" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "oxide-operator.orchestrator.configName" -}}
{{- .Values.orchestrator.config.existingName | default (include "oxide-operator.orchestrator.name" .) -}}
{{- end -}}

{{- define "oxide-operator.orchestrator.keySecret" -}}
{{- .Values.orchestrator.key.existingSecret | default (printf "%s-key" (include "oxide-operator.orchestrator.name" .)) -}}
{{- end -}}

{{/* The annotations that say everything about the sidecar, as for a pod of one's own. */}}
{{- define "oxide-operator.orchestrator.annotations" -}}
{{- with .Values.orchestrator -}}
oxide.dev/inject: {{ include "oxide-operator.orchestrator.configName" $ }}
oxide.dev/source: {{ lower .config.kind }}
oxide.dev/volume: data
oxide.dev/key-secret: {{ include "oxide-operator.orchestrator.keySecret" $ }}
oxide.dev/key-secret-key: {{ .key.secretKey }}
{{- with .policy.onDrift }}
oxide.dev/on-drift: {{ . }}
{{- end }}
{{- with .policy.onConflict }}
oxide.dev/on-conflict: {{ . }}
{{- end }}
{{- with .policy.prune }}
oxide.dev/prune: {{ . }}
{{- end }}
{{- with .policy.grace }}
oxide.dev/grace: {{ . | quote }}
{{- end }}
{{- with .reloadUrl }}
oxide.dev/reload-url: {{ . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/*
Its sidecar stands in the Deployment itself: Helm creates Deployments before policies, so the first pod would come too early for
the injection.
*/}}
{{- define "oxide-operator.orchestrator.sidecar" -}}
{{- with .Values.orchestrator -}}
{{- $env := list -}}
{{- range $name, $value := dict "ON_DRIFT" .policy.onDrift "ON_CONFLICT" .policy.onConflict "PRUNE" .policy.prune "GRACE" .policy.grace "RELOAD_URL" .reloadUrl -}}
{{- with $value -}}
{{- $env = append $env (dict "name" (printf "OXIDE_OPERATOR_%s" $name) "value" .) -}}
{{- end -}}
{{- end -}}
{{- $mountPath := $.Values.sidecar.mountPath -}}
{{- include "oxide-operator.sidecar" (dict "root" $ "env" $env "resources" $.Values.sidecar.resources
  "source" (printf "%s:%s/%s" (lower .config.kind) (include "oxide-operator.namespace" $) (include "oxide-operator.orchestrator.configName" $))
  "database" (printf "%s/%s" $mountPath $.Values.sidecar.database) "volume" "data" "mountPath" $mountPath
  "keySecret" (include "oxide-operator.orchestrator.keySecret" $) "keySecretKey" .key.secretKey) -}}
{{- end -}}
{{- end -}}
