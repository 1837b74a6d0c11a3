#!/bin/sh
# The namespace and its search attributes. Safe to run again.
set -eu
namespace=default
until temporal operator cluster health; do sleep 2; done
temporal operator namespace describe --namespace "$namespace" >/dev/null 2>&1 ||
  temporal operator namespace create --namespace "$namespace" --retention 30d
for name in CountersignState CountersignRecipe CountersignStep CountersignIncident; do
  temporal operator search-attribute list --namespace "$namespace" | grep -qw "$name" ||
    temporal operator search-attribute create --namespace "$namespace" --name "$name" --type Keyword
done
