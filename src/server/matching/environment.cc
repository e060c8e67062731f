// What expressions over a request may name, with their types.
#include <algorithm>
#include <utility>

#include "cel/decl_type.h"
#include "server/matching/conditions.h"

namespace keles::matching {
namespace {

using cel::DeclField;
using cel::DeclPtr;
using cel::DeclType;
using Kind = DeclType::Kind;

DeclPtr simple(Kind kind) {
  auto t = std::make_shared<DeclType>();
  t->kind = kind;
  if (kind == Kind::kString) t->max_elements = cel::kMaxRequestBytes;
  return t;
}

DeclPtr container(Kind kind, DeclPtr element) {
  auto t = std::make_shared<DeclType>();
  t->kind = kind;
  t->element = std::move(element);
  t->max_elements = cel::kMaxRequestBytes;
  return t;
}

DeclPtr object(std::vector<std::pair<std::string, DeclPtr>> fields) {
  auto t = std::make_shared<DeclType>();
  t->kind = Kind::kObject;
  for (auto& [name, type] : fields) {
    DeclField f;
    f.name = name;
    cel::escape_name(name, f.escaped);
    f.type = std::move(type);
    t->fields.push_back(std::move(f));
  }
  std::sort(t->fields.begin(), t->fields.end(),
            [](const DeclField& a, const DeclField& b) { return a.escaped < b.escaped; });
  return t;
}

DeclPtr request_type() {
  const DeclPtr text = simple(Kind::kString), texts = container(Kind::kList, text);
  const DeclPtr kind = object({{"group", text}, {"version", text}, {"kind", text}});
  const DeclPtr resource = object({{"group", text}, {"version", text}, {"resource", text}});
  const DeclPtr user = object({{"username", text},
                               {"uid", text},
                               {"groups", texts},
                               {"extra", container(Kind::kMap, texts)}});
  return object({{"kind", kind},
                 {"resource", resource},
                 {"subResource", text},
                 {"requestKind", kind},
                 {"requestResource", resource},
                 {"requestSubResource", text},
                 {"name", text},
                 {"namespace", text},
                 {"operation", text},
                 {"userInfo", user},
                 {"dryRun", simple(Kind::kBool)},
                 {"options", cel::any_decl_type()}});
}

DeclPtr namespace_type() {
  const DeclPtr text = simple(Kind::kString), texts = container(Kind::kList, text),
                by_name = container(Kind::kMap, text), time = simple(Kind::kDateTime),
                number = simple(Kind::kInt);
  const DeclPtr condition = object({{"status", text},
                                    {"type", text},
                                    {"lastTransitionTime", time},
                                    {"message", text},
                                    {"reason", text}});
  const DeclPtr status =
      object({{"conditions", container(Kind::kList, condition)}, {"phase", text}});
  const DeclPtr metadata = object({{"name", text},
                                   {"generateName", text},
                                   {"namespace", text},
                                   {"labels", by_name},
                                   {"annotations", by_name},
                                   {"UID", text},  // as upstream writes it
                                   {"creationTimestamp", time},
                                   {"deletionGracePeriodSeconds", number},
                                   {"deletionTimestamp", time},
                                   {"generation", number},
                                   {"resourceVersion", text},
                                   {"finalizers", texts}});
  return object(
      {{"metadata", metadata}, {"spec", object({{"finalizers", texts}})}, {"status", status}});
}

}  // namespace

cel::Env environment(Variables variables) {
  cel::Env env;
  env.add("object", cel::dyn_type());
  env.add("oldObject", cel::dyn_type());
  env.add_object("namespaceObject", namespace_type(), "kubernetes.Namespace");
  env.add_object("request", request_type(), "kubernetes.AdmissionRequest");
  if (variables.params) env.add("params", cel::dyn_type());
  if (variables.authorizer) {
    env.add("authorizer", cel::struct_type("kubernetes.authorization.Authorizer"));
    env.add("authorizer.requestResource",
            cel::struct_type("kubernetes.authorization.ResourceCheck"));
  }
  return env;
}

const cel::Env& shared_environment(Variables variables) {
  static const cel::Env* const all[] = {
      new cel::Env(environment({false, false})), new cel::Env(environment({false, true})),
      new cel::Env(environment({true, false})), new cel::Env(environment({true, true}))};
  return *all[(variables.params ? 2 : 0) + (variables.authorizer ? 1 : 0)];
}

}  // namespace keles::matching
