{{/* The version of the policy API that this cluster has; nothing when no policy is rendered. */}}
{{- define "oxide-operator.injection.apiVersion" -}}
{{- if .Values.injection.enabled -}}
{{- $apis := .Capabilities.APIVersions -}}
{{- if $apis.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
admissionregistration.k8s.io/v1
{{- else if $apis.Has "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy" -}}
admissionregistration.k8s.io/v1beta1
{{- else if semverCompare ">=1.36-0" .Capabilities.KubeVersion.Version -}}
{{- /* `helm template` knows no kinds; from this version on it is always there. */ -}}
admissionregistration.k8s.io/v1
{{- else if eq .Values.injection.renderMode "alwaysRender" -}}
admissionregistration.k8s.io/v1beta1
{{- else if eq .Values.injection.renderMode "failIfMissing" -}}
{{- fail "this cluster has no MutatingAdmissionPolicy (it comes with Kubernetes 1.36; as a beta from 1.34 when the API server has it switched on): set injection.enabled=false and use config/kustomize/component, or set injection.renderMode to skipIfMissing" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "oxide-operator.injection.namespaceSelector" -}}
{{- if .Values.injection.namespaceSelector -}}
{{- toYaml .Values.injection.namespaceSelector -}}
{{- else -}}
matchExpressions:
- key: kubernetes.io/metadata.name
  operator: In
  values: {{ include "oxide-operator.namespaces" . }}
{{- end -}}
{{- end -}}

{{/* Takes pod, the path to it: `object`, or the template of a workload. */}}
{{- define "oxide-operator.injection.isAnnotated" -}}
has({{ .pod }}.metadata) && has({{ .pod }}.metadata.annotations) && "oxide.dev/inject" in {{ .pod }}.metadata.annotations
{{- end -}}

{{/*
What the annotations of a pod say, as variables of a policy; `problems` lists everything that is wrong with them. The policy that
injects leaves a pod with problems as it is, and the one that validates refuses it with all of them at once. Otherwise the API server
would name a field of a container that the user never wrote.

Takes root, pod, and claims: whether volumes may come from the claims of a StatefulSet.
*/}}
{{- define "oxide-operator.injection.variables" -}}
{{- $sidecar := .root.Values.sidecar -}}
{{- $pod := .pod -}}
{{- $known := list "inject" "source" "volume" "mount-path" "db" "key-secret" "key-secret-key" "on-drift" "on-conflict" "prune" "grace" "reload-url" "reload-token-secret" "run-as-user" "cpu-request" "memory-request" "memory-limit" -}}
- name: notes
  expression: {{ $pod }}.metadata.annotations
- name: source
  expression: variables.notes[?"oxide.dev/source"].orValue("oxideconfig")
- name: volume
  expression: variables.notes[?"oxide.dev/volume"].orValue({{ toJson $sidecar.volume }})
- name: mountPath
  expression: variables.notes[?"oxide.dev/mount-path"].orValue({{ toJson $sidecar.mountPath }})
- name: database
  expression: variables.notes[?"oxide.dev/db"].orValue(variables.mountPath + {{ printf "/%s" $sidecar.database | toJson }})
- name: problems
  expression: >-
    variables.notes.filter(key, key.startsWith("oxide.dev/") && !(key in {{ printf "\"oxide.dev/%s\"" (join "\", \"oxide.dev/" $known) | printf "[%s]" }}))
    .map(key, key + " is not an annotation of pods that this version knows") +
    (variables.source in ["oxideconfig", "configmap"] ? [] :
      ["oxide.dev/source must be oxideconfig or configmap, not '" + variables.source + "'"]) +
    (variables.notes["oxide.dev/inject"].matches("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$") ||
      variables.source == "configmap" && variables.notes["oxide.dev/inject"].matches("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[-._a-zA-Z0-9]+$") ? [] :
      ["oxide.dev/inject must be the name of an OxideConfig, or with oxide.dev/source: configmap NAME or NAME/KEY of a ConfigMap, not '" + variables.notes["oxide.dev/inject"] + "'"]) +
    ({{ if .claims }}request.resource.resource == "statefulsets" || {{ end }}{{ $pod }}.spec.?volumes.orValue([]).exists(volume, volume.name == variables.volume) ? [] :
      ["the pod has no volume '" + variables.volume + "': add the one that holds the database, or name it in oxide.dev/volume"]) +
    (variables.mountPath.matches("^(/[^/]+)+$") ? [] :
      ["oxide.dev/mount-path must be an absolute path without a slash at its end, not '" + variables.mountPath + "'"]) +
    (variables.database.startsWith(variables.mountPath + "/") ? [] :
      ["oxide.dev/db must lie below the mount path " + variables.mountPath + ", and '" + variables.database + "' does not"]) +
    (variables.notes[?"oxide.dev/on-drift"].orValue("keep") in ["keep", "revert", "promote"] ? [] :
      ["oxide.dev/on-drift must be keep, revert or promote"]) +
    {{- if not .root.Values.rbac.promotion }}
    (variables.notes[?"oxide.dev/on-drift"].orValue("keep") != "promote" ? [] :
      ["oxide.dev/on-drift: promote is not allowed by this installation: set rbac.promotion=true in the chart"]) +
    {{- end }}
    (variables.notes[?"oxide.dev/on-conflict"].orValue("hold") in ["hold", "source", "database"] ? [] :
      ["oxide.dev/on-conflict must be hold, source or database"]) +
    (variables.notes[?"oxide.dev/prune"].orValue("never") in ["never", "owned"] ? [] :
      ["oxide.dev/prune must be never or owned"]) +
    (variables.notes[?"oxide.dev/grace"].orValue("0").matches("^[0-9]+(ms|s|m|h|d)?$") ? [] :
      ["oxide.dev/grace must be a time such as 30s or 5m"]) +
    (variables.notes[?"oxide.dev/reload-url"].orValue("http://none").matches(r"^http://([-a-zA-Z0-9._]+|[[][0-9a-fA-F:.]+[]])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[!-~]*)?$") ? [] :
      ["oxide.dev/reload-url must be http://HOST:PORT/PATH, without a user and without TLS"]) +
    (variables.notes[?"oxide.dev/run-as-user"].orValue("1").matches("^[0-9]{1,9}$") ? [] :
      ["oxide.dev/run-as-user must be the number of a user"]) +
    {{- if not .root.Values.injection.allowRoot }}
    (!variables.notes[?"oxide.dev/run-as-user"].orValue("1").matches("^0+$") ? [] :
      ["oxide.dev/run-as-user: root is not allowed by this installation: set injection.allowRoot=true in the chart"]) +
    {{- end }}
    ["cpu-request", "memory-request", "memory-limit"].map(key, "oxide.dev/" + key)
    .filter(key, key in variables.notes && !isQuantity(variables.notes[key]))
    .map(key, key + " must be a quantity such as 10m or 32Mi")
{{- end -}}

{{/* The sidecar as the policy writes it: what annotations decide are expressions. */}}
{{- define "oxide-operator.injection.sidecar" -}}
{{- $env := list -}}
{{- range $note, $name := dict "on-drift" "ON_DRIFT" "on-conflict" "ON_CONFLICT" "prune" "PRUNE" "grace" "GRACE" "reload-url" "RELOAD_URL" -}}
{{- $env = append $env (printf `cel:?variables.notes[?"oxide.dev/%s"].optMap(value, Object.spec.initContainers.env{name: "OXIDE_OPERATOR_%s", value: value})` $note $name) -}}
{{- end -}}
{{- $token := `Object.spec.initContainers.env{name: "OXIDE_OPERATOR_RELOAD_TOKEN", valueFrom: Object.spec.initContainers.env.valueFrom{secretKeyRef: Object.spec.initContainers.env.valueFrom.secretKeyRef{name: value, key: "token"}}}` -}}
{{- $env = append $env (printf `cel:?variables.notes[?"oxide.dev/reload-token-secret"].optMap(value, %s)` $token) -}}
{{- $resources := deepCopy .Values.sidecar.resources -}}
{{- range $note, $place := dict "cpu-request" "requests cpu" "memory-request" "requests memory" "memory-limit" "limits memory" -}}
{{- $kind := splitList " " $place | first -}}
{{- $name := splitList " " $place | last -}}
{{- $amounts := get $resources $kind | default dict -}}
{{- $optional := printf `variables.notes[?"oxide.dev/%s"]` $note -}}
{{- if hasKey $amounts $name -}}
{{- $_ := set $amounts $name (printf "cel:%s.orValue(%s)" $optional (get $amounts $name | toString | toJson)) -}}
{{- else -}}
{{- /* With its type in sight: the API server panics over an optional entry of unknown type (seen with 1.37). */ -}}
{{- $_ := set $amounts (printf "?%s" $name) (printf `cel:"oxide.dev/%s" in variables.notes ? optional.of(string(variables.notes["oxide.dev/%s"])) : optional.none()` $note $note) -}}
{{- end -}}
{{- $_ := set $resources $kind $amounts -}}
{{- end -}}
{{- $security := dict "?runAsUser" "cel:variables.user" "?runAsGroup" "cel:variables.group" -}}
{{- if .Values.injection.allowRoot -}}
{{- $_ := set $security "runAsNonRoot" "cel:variables.user != optional.of(0)" -}}
{{- end -}}
{{- /* What the values say about the user counts for every pod. */ -}}
{{- range list "runAsUser" "runAsGroup" -}}
{{- if hasKey $.Values.sidecar.securityContext . -}}
{{- $security = omit $security (printf "?%s" .) -}}
{{- end -}}
{{- end -}}
{{- $sidecar := dict "root" . "env" $env "resources" $resources "securityContext" $security
  "source" `cel:variables.source + ":" + request.namespace + "/" + variables.notes["oxide.dev/inject"]`
  "database" "cel:variables.database" "volume" "cel:variables.volume" "mountPath" "cel:variables.mountPath"
  "keySecret" (printf `cel:variables.notes[?"oxide.dev/key-secret"].orValue(%s)` (toJson .Values.sidecar.keySecret))
  "keySecretKey" (printf `cel:variables.notes[?"oxide.dev/key-secret-key"].orValue(%s)` (toJson .Values.sidecar.keySecretKey)) -}}
{{- $container := include "oxide-operator.sidecar" $sidecar | fromYaml -}}
{{- include "oxide-operator.cel" (dict "value" $container "type" "Object.spec.initContainers") -}}
{{- end -}}
