// What a pod refers to by name: what its node may read (auth/node.cc), what a mirror pod may not
// hold (admission), which secrets a service account lends (admission). Pure; any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "machinery/value.h"

namespace keles::server {

constexpr std::string_view kMirrorAnnotation = "kubernetes.io/config.mirror";
bool is_mirror_pod(const Value& pod);

// Each container with the word for its kind ("init container", "container", "ephemeral container").
// Ends early when `fn` returns false, and then returns false; so do the others.
bool visit_containers(const Value& pod_spec,
                      const std::function<bool(const Value& container, std::string_view what)>& fn);

// Names are never empty; one that is used twice comes twice.
using NameVisitor = std::function<bool(std::string_view name)>;
bool visit_secrets(const Value& pod_spec, const NameVisitor& fn);
bool visit_config_maps(const Value& pod_spec, const NameVisitor& fn);
// Claims of volumes, those made for ephemeral volumes included (POD-VOLUME).
bool visit_volume_claims(const Value& pod, const NameVisitor& fn);
// Resource claims: named ones, those made from templates (found in the status), the one for
// extended resources.
bool visit_resource_claims(const Value& pod, const NameVisitor& fn);

// Secrets that a node needs for a PersistentVolume; those without a namespace are in the claim's.
bool visit_volume_secrets(
    const Value& persistent_volume,
    const std::function<bool(std::string_view ns, std::string_view name)>& fn);

// The first thing in a pod's spec that is an object of the API, in upstream's words ("secrets (via
// secret volumes)"); "" when there is none. A volume of a type that nobody knows is an error text
// in `error`.
std::string api_reference(const Value& pod_spec, std::string* error);

}  // namespace keles::server
