{{/*
The one place that says what a sidecar is: rendered as it is for the orchestrator and the test, and by `oxide-operator.cel` as an
expression for the policy that injects it. Every string may therefore be an expression too, marked `cel:`.

Takes root, source, database, volume, mountPath, keySecret, keySecretKey, resources, env (what is set only for some pods), and
securityContext (merged over the values').
*/}}
{{- define "oxide-operator.sidecar" -}}
{{- $values := .root.Values.sidecar -}}
name: oxide-operator
image: {{ include "oxide-operator.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
# A native sidecar: it starts before the other containers, and ends after them.
restartPolicy: Always
args: [run]
env:
- name: OXIDE_OPERATOR_SOURCE
  value: {{ toJson .source }}
- name: OXIDE_OPERATOR_DB
  value: {{ toJson .database }}
- name: OXIDE_ENCRYPTION_KEY
  valueFrom:
    secretKeyRef:
      name: {{ toJson .keySecret }}
      key: {{ toJson .keySecretKey }}
- name: OXIDE_OPERATOR_LISTEN_HEALTH
  value: {{ printf "%s:8461" $values.listenAddress | quote }}
- name: OXIDE_OPERATOR_LOG_FORMAT
  value: {{ $values.logFormat }}
{{- range $setting, $variable := dict "folder" "FOLDER" "allFor" "ALL_FOR" "hourly" "HOURLY" "daily" "DAILY" "weekly" "WEEKLY" "count" "COUNT" "bytes" "BYTES" }}
{{- $value := index $values.backups $setting }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- name: OXIDE_OPERATOR_BACKUP_{{ $variable }}
  value: {{ kindIs "string" $value | ternary $value (int64 $value | toString) | toJson }}
{{- end }}
{{- end }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
{{- with concat $values.extraEnv .env }}
{{ toYaml . }}
{{- end }}
ports:
- name: oxide-health
  containerPort: 8461
  protocol: TCP
startupProbe:
  httpGet: {path: /startedz, port: oxide-health}
  {{- toYaml $values.startupProbe | nindent 2 }}
livenessProbe:
  httpGet: {path: /livez, port: oxide-health}
  {{- toYaml $values.livenessProbe | nindent 2 }}
resources:
  {{- toYaml .resources | nindent 2 }}
securityContext:
  {{- toYaml (merge (dict) (.securityContext | default dict) $values.securityContext) | nindent 2 }}
volumeMounts:
- name: {{ toJson .volume }}
  mountPath: {{ toJson .mountPath }}
- name: oxide-operator-api
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end -}}

{{/*
The token of the sidecar. It has one of its own, so that the pod may switch off the one that all of its containers would get.
*/}}
{{- define "oxide-operator.tokenVolume" -}}
name: oxide-operator-api
projected:
  defaultMode: 292
  sources:
  - serviceAccountToken: {path: token, expirationSeconds: 3607}
  - configMap:
      name: kube-root-ca.crt
      items: [{key: ca.crt, path: ca.crt}]
  - downwardAPI:
      items: [{path: namespace, fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}]
{{- end -}}

{{/*
A value as a CEL expression, from value and type, the name of its type such as Object.spec.volumes. A string that begins with `cel:`
is an expression already; a field or an element that begins with `?` is left out when its optional value is empty.
*/}}
{{- define "oxide-operator.cel" -}}
{{- $type := .type -}}
{{- if kindIs "map" .value -}}
{{- $free := has (splitList "." $type | last) (list "requests" "limits") -}}
{{- $fields := list -}}
{{- range $name, $value := .value -}}
{{- /* A quantity may be written as a number; in CEL the values of a map have one type. */ -}}
{{- if $free -}}
{{- $value = toString $value -}}
{{- end -}}
{{- $cel := include "oxide-operator.cel" (dict "value" $value "type" (printf "%s.%s" $type (trimPrefix "?" $name))) -}}
{{- if and $free (hasPrefix "?" $name) -}}
{{- $name = trimPrefix "?" $name | toJson | printf "?%s" -}}
{{- else if $free -}}
{{- $name = toJson $name -}}
{{- end -}}
{{- $fields = append $fields (printf "%s: %s" $name $cel) -}}
{{- end -}}
{{- printf "%s{%s}" ($free | ternary "" $type) (join ", " $fields) -}}
{{- else if kindIs "slice" .value -}}
{{- $elements := list -}}
{{- range .value -}}
{{- $elements = append $elements (include "oxide-operator.cel" (dict "value" . "type" $type)) -}}
{{- end -}}
{{- printf "[%s]" (join ",\n" $elements) -}}
{{- else if and (kindIs "string" .value) (hasPrefix "cel:" .value) -}}
{{- trimPrefix "cel:" .value -}}
{{- else -}}
{{- toJson .value -}}
{{- end -}}
{{- end -}}
