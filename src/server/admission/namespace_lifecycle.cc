#include "server/admission/plugins.h"
#include "server/objects/meta.h"

namespace keles::admission {

Status namespace_lifecycle_validate(const Attributes& a, const Value*, const Value*) {
  if (a.operation != Operation::kDelete) return {};
  const bool immortal = a.name == "default" || a.name == "kube-system" || a.name == "kube-public";
  if (a.is("", "Namespace") && immortal) return refuse(a, "this namespace may not be deleted");
  return {};
}

Status namespace_lifecycle(const Attributes& a, Document&, const Value*) {
  if (a.operation != Operation::kCreate || !a.kind->namespaced) return {};
  // A review asks about a namespace; it does not put anything into it.
  if (a.is("authorization.k8s.io", "LocalSubjectAccessReview")) return {};
  ObjectPtr ns = find(a, "", "v1", "Namespace", "", a.namespace_);
  if (!ns) return Status::not_found("", "namespaces", a.namespace_);
  DocumentPtr tree = ns->tree();
  if (!registry::deleting(tree->root) &&
      tree->root["status"]["phase"].as_string() != "Terminating") {
    return {};
  }
  const std::string name(a.namespace_);
  Status refused = refuse(
      a, "unable to create new content in namespace " + name + " because it is being terminated");
  StatusDetails details = refused.details();
  details.causes.push_back(
      {"NamespaceTerminating", "namespace " + name + " is being terminated", "metadata.namespace"});
  return Status(Reason::kForbidden, refused.message(), std::move(details));
}

Status namespace_exists(const Attributes& a, const Value*, const Value*) {
  if (a.operation == Operation::kConnect) return {};
  if (a.namespace_.empty() || a.is("", "Namespace")) return {};
  if (find(a, "", "v1", "Namespace", "", a.namespace_)) return {};
  return Status::not_found("", "namespaces", a.namespace_);
}

Status always_deny(const Attributes& a, const Value*, const Value*) {
  return refuse(a, "admission control is denying all modifications");
}

}  // namespace keles::admission
