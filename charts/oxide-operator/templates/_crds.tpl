{{/*
Whether this release renders a definition, as JSON: render, version (ours), and note (what a person must know). Takes root and crd.

Definitions belong to the whole cluster, releases to a namespace. Helm refuses to install what another release owns, and what lies in
a chart's crds/ folder it installs over newer ones (4) or never updates (3). So the first release owns them, the others look.
Without a cluster (`helm template`) nothing is seen, and they are rendered.
*/}}
{{- define "oxide-operator.crd.decision" -}}
{{- $name := .crd.metadata.name -}}
{{- $ours := index (.crd.metadata.annotations | default dict) "oxide.dev/version" | default .root.Chart.AppVersion -}}
{{- $live := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name -}}
{{- $decision := dict "render" true "version" $ours "note" "" -}}
{{- if $live -}}
{{- $annotations := $live.metadata.annotations | default dict -}}
{{- $release := index $annotations "meta.helm.sh/release-name" | default "" -}}
{{- $namespace := index $annotations "meta.helm.sh/release-namespace" | default "" -}}
{{- $version := index $annotations "oxide.dev/version" | default "" -}}
{{- $order := -1 -}}
{{- if $version -}}
{{- $order = (semver $version).Compare (semver $ours) -}}
{{- end -}}
{{- $mine := and (eq $release .root.Release.Name) (eq $namespace .root.Release.Namespace) -}}
{{- $owner := empty $release | ternary "no Helm release" (printf "release %s in namespace %s" $release $namespace) -}}
{{- $state := printf "%s has version %s (%s owns it), this chart has %s" $name (default "unknown" $version) $owner $ours -}}
{{- if gt $order 0 -}}
{{- $_ := set $decision "render" false -}}
{{- $_ := set $decision "note" (printf "%s: the newer one stays." $state) -}}
{{- else if not (or $mine .root.Values.crds.takeOwnership) -}}
{{- $_ := set $decision "render" false -}}
{{- if lt $order 0 -}}
{{- $_ := set $decision "note" (printf "%s: upgrade its owner, or take it over with `helm upgrade --take-ownership --set crds.takeOwnership=true`." $state) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $decision -}}
{{- end -}}
