// OwnerReferencesPermissionEnforcement: who changes owners may delete the object, and who lets it
// hold up its owner's deletion may set the owner's finalizers. Off by default.
#include <algorithm>

#include "server/admission/plugins.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"

namespace keles::admission {
namespace {

bool may(const Attributes& a, const Access& access) { return a.may && *a.may && (*a.may)(access); }

bool same_owners(const Value& now, const Value& before) {
  const Value &is = registry::metadata(now)["ownerReferences"],
              &was = registry::metadata(before)["ownerReferences"];
  return (is.empty() && was.empty()) || is.equals(was);
}

// Those that block their owner's deletion and did not before.
std::vector<const Value*> newly_blocking(const Value& now, const Value* before) {
  std::vector<const Value*> out;
  for (const Value& r : registry::metadata(now)["ownerReferences"].items()) {
    if (!r["blockOwnerDeletion"].as_bool()) continue;
    bool did = false;
    if (before) {
      for (const Value& old : registry::metadata(*before)["ownerReferences"].items()) {
        did |= old["uid"].equals(r["uid"]) && old["blockOwnerDeletion"].as_bool();
      }
    }
    if (!did) out.push_back(&r);
  }
  return out;
}

struct Owner {
  std::string resource;
  bool namespaced = false;
};

// The resource of a kind, built-in or defined.
std::optional<Owner> owner_of(const Attributes& a, std::string_view group, std::string_view version,
                              std::string_view kind) {
  if (const KindDesc* k = find_kind(group, version, kind); k && !k->plural.empty()) {
    return Owner{std::string(k->plural), k->namespaced};
  }
  std::optional<Owner> out;
  const KindDesc* definitions = find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
  const std::string prefix = registry::kind_prefix(*definitions);
  a.state->scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    DocumentPtr tree = o->tree();
    const Value& spec = tree->root["spec"];
    if (spec["group"].as_string() == group && spec["names"]["kind"].as_string() == kind) {
      out = Owner{std::string(spec["names"]["plural"].as_string()),
                  spec["scope"].as_string() == "Namespaced"};
    }
    return !out;
  });
  return out;
}

Status check_blocking(const Attributes& a, const Value& reference) {
  const std::string api_version(reference["apiVersion"].as_string()),
      kind(reference["kind"].as_string());
  const size_t slash = api_version.find('/');
  Access access;
  access.verb = "update";
  access.group = slash == std::string::npos ? "" : api_version.substr(0, slash);
  access.version = slash == std::string::npos ? api_version : api_version.substr(slash + 1);
  const std::optional<Owner> owner = owner_of(a, access.group, access.version, kind);
  if (!owner) {
    return refuse(a,
                  "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for "
                  "APIVersion " +
                      api_version + " Kind " + kind + ": no matches for kind \"" + kind +
                      "\" in version \"" + api_version + "\"");
  }
  access.resource = owner->resource;
  access.subresource = "finalizers";
  access.name = reference["name"].as_string();
  if (owner->namespaced) access.ns = a.namespace_;
  if (may(a, access)) return {};
  return refuse(
      a,
      "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set "
      "finalizers on: , <nil>");
}

}  // namespace

Status owner_references(const Attributes& a, const Value* object, const Value* before) {
  if (!object || (a.operation != Operation::kCreate && a.operation != Operation::kUpdate))
    return {};
  if (a.is("", "Pod") && a.subresource == "status") return {};
  if (same_owners(*object, before ? *before : Value::null())) return {};
  Access access;
  if (a.operation == Operation::kUpdate) {
    access = Access{"delete",
                    std::string(a.kind->group),
                    std::string(a.kind->version),
                    std::string(a.kind->plural),
                    std::string(a.subresource),
                    std::string(a.namespace_),
                    std::string(a.name),
                    ""};
    if (!may(a, access)) {
      return refuse(a, "cannot set an ownerRef on a resource you can't delete: , <nil>");
    }
  }
  const std::vector<const Value*> blocking = newly_blocking(*object, before);
  if (blocking.empty()) return {};
  access = Access{"update", "*", "*", "*", "finalizers", "", "*", ""};
  if (may(a, access)) return {};
  for (const Value* r : blocking) TRY(check_blocking(a, *r));
  return {};
}

}  // namespace keles::admission
