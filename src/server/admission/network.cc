// DefaultIngressClass and DenyServiceExternalIPs.
#include <algorithm>

#include "server/admission/plugins.h"
#include "server/objects/meta.h"

namespace keles::admission {

Status default_ingress_class(const Attributes& a, Document& ingress, const Value*) {
  if (a.operation != Operation::kCreate || !a.subresource.empty()) return {};
  if (!a.is("networking.k8s.io", "Ingress")) return {};
  const Value& annotations = registry::metadata(ingress.root)["annotations"];
  if (!ingress.root["spec"]["ingressClassName"].is_null()) return {};
  if (annotations.find("kubernetes.io/ingress.class")) return {};
  static const KindDesc* const kind = find_kind("networking.k8s.io", "v1", "IngressClass");
  auto found = newest_default(a, *kind, {"ingressclass.kubernetes.io/is-default-class"});
  if (!found.ok()) return refuse(a, found.status().message());
  if (!*found) return {};
  registry::set_text(ingress, registry::edit_map(ingress, ingress.root, "spec"), "ingressClassName",
                     (*found)->name());
  return {};
}

Status deny_external_ips(const Attributes& a, const Value* service, const Value* before) {
  if (!service || !a.subresource.empty() || !a.is("", "Service")) return {};
  auto had = (before ? (*before)["spec"]["externalIPs"] : Value::null()).items();
  for (const Value& ip : (*service)["spec"]["externalIPs"].items()) {
    const bool there =
        std::any_of(had.begin(), had.end(), [&](const Value& old) { return old.equals(ip); });
    if (!there) return refuse(a, "Use of external IPs is denied by admission control");
  }
  return {};
}

}  // namespace keles::admission
