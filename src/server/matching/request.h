// What is asked of the server, as admission webhooks and policies see it: attributes that rules
// match, and the `request` of an AdmissionReview and of expressions (admission.k8s.io/v1
// AdmissionRequest). Views, all of which outlive it; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "machinery/schema.h"
#include "machinery/value.h"
#include "server/auth/caller.h"
#include "store/store.h"

namespace keles::matching {

struct Request {
  std::string_view operation;          // "CREATE", "UPDATE", "DELETE" or "CONNECT"
  const KindDesc* resource = nullptr;  // in the version that the client asked for
  std::string_view subresource;
  // Of a Namespace the namespace is its own name, as of what is in it.
  std::string_view namespace_, name;
  // Null where there is none: `object` on a delete, `old_object` on a create. Of any version: only
  // their labels are read here.
  const Value *object = nullptr, *old_object = nullptr;
  const Value* options = nullptr;  // CreateOptions, DeleteOptions ... with kind and apiVersion
  bool dry_run = false;
  const Caller* caller = nullptr;
  const StoreSnapshot* state = nullptr;  // where namespaces are looked up
};

struct GroupVersionKind {
  std::string_view group, version, kind;
  bool operator==(const GroupVersionKind&) const = default;
};

// The kind of what is sent to `resource` or one of its subresources ("scale": autoscaling/v1 Scale;
// "status": the resource's own); of "exec" and the like, the kind of its options.
GroupVersionKind body_kind(const KindDesc& resource, std::string_view subresource);

// The resources whose objects are the same ones as those of `resource`, itself included: other
// versions of a custom resource, other groups and versions of a built-in one. Those without the
// subresource are left out. Held by whoever holds `resource`.
std::vector<const KindDesc*> equivalents(const KindDesc& resource, std::string_view subresource);

// Whether there are others but itself, whatever the subresource. Cheap.
bool has_equivalents(const KindDesc& resource);

// admission.k8s.io's AdmissionRequest without uid, object and oldObject, as it is shown to one that
// asked for the resource `as`. Views of `request`; texts are not copied.
Value request_value(Arena& arena, const Request& request, const KindDesc& as);

// Configurations and policies of admission themselves: nobody is asked about them, or a bad one
// could not be removed.
bool is_exempt(const KindDesc& resource);

}  // namespace keles::matching
