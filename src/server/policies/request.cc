#include "server/policies/request.h"

#include <utility>

#include "machinery/codec_json.h"
#include "machinery/custom_kind.h"
#include "server/matching/conditions.h"
#include "server/objects/keys.h"
#include "server/registry/convert.h"
#include "server/registry/versions.h"
#include "store/unreadable.h"

namespace keles::policies {

Document api_form(const KindDesc& kind, const Value& tree) {
  std::string text;
  if (kind.owner) {
    write_json(text, tree);
  } else {
    write_json(text, kind, tree);
  }
  auto parsed = parse_json(text);
  return parsed.ok() ? std::move(*parsed) : Document();
}

Task<Result<std::shared_ptr<Seen>>> see(Context ctx, const admission::Attributes* a,
                                        const KindDesc* resource, const Value* object,
                                        const Value* before) {
  registry::ShownObjects shown;
  Status s = co_await registry::show_objects(ctx, a, resource, object, before, &shown);
  if (!s.ok()) co_return s;
  auto out = std::make_shared<Seen>();
  out->kind = shown.kind;
  if (shown.object) out->object = api_form(*shown.kind, *shown.object);
  if (shown.old_object) out->before = api_form(*shown.kind, *shown.old_object);
  co_return std::move(out);
}

Result<const KindDesc*> find_param_kind(const Policy& policy, const Catalog& catalog) {
  if (!policy.params) return static_cast<const KindDesc*>(nullptr);
  const ParamKind& p = *policy.params;
  const KindDesc* kind = catalog.find_kind(p.group, p.version, p.kind);
  if (kind && !kind->plural.empty()) return kind;
  return Status::bad_request("failed to find resource referenced by paramKind: '" + p.shown() +
                             "'");
}

namespace {

// Where the params are: their namespace, "" of those that are in none.
Result<std::string> param_namespace(const matching::Request& request, const KindDesc& kind,
                                    const ParamRef& ref) {
  if (!kind.namespaced) {
    if (ref.namespace_.empty()) return std::string();
    return Status::bad_request(
        "paramRef.namespace must not be provided for a cluster-scoped `paramKind`");
  }
  if (!ref.namespace_.empty()) return ref.namespace_;
  if (request.namespace_.empty()) {
    return Status::bad_request(
        "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources");
  }
  return std::string(request.namespace_);
}

Result<std::vector<ObjectPtr>> find_params(const StoreSnapshot& state, const KindDesc& kind,
                                           const std::string& ns, const ParamRef& ref) {
  std::vector<ObjectPtr> out;
  if (!ref.name.empty()) {
    if (ObjectPtr o = state.get(registry::object_key(kind, ns, ref.name))) out.push_back(o);
    if (out.empty()) TRY(unreadable_in(state, registry::list_prefix(kind, ns), ref.name));
    return out;
  }
  if (!ref.selector) return Status::bad_request("one of name or selector must be provided");
  if (!ref.selector->ok()) return ref.selector->status();
  const Selector& selector = **ref.selector;
  std::string prefix = registry::kind_prefix(kind);
  if (kind.namespaced) prefix += ns + "/";
  TRY(unreadable_in(state, prefix));
  state.scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    const DocumentPtr tree = o->metadata();
    if (selector.matches(tree->root["metadata"]["labels"])) out.push_back(o);
    return true;
  });
  return out;
}

}  // namespace

Task<Result<std::vector<Param>>> collect_params(Context ctx, const matching::Request* request,
                                                const KindDesc* kind, const Policy* policy,
                                                const Binding* binding) {
  std::vector<Param> out;
  if (!policy->params || !binding->params) {
    out.emplace_back();
    co_return out;
  }
  const ParamRef& ref = *binding->params;
  auto ns = param_namespace(*request, *kind, ref);
  if (!ns.ok()) co_return ns.status();
  auto found = find_params(*request->state, *kind, *ns, ref);
  if (!found.ok()) co_return found.status();
  KindRef held(kind);
  for (const ObjectPtr& o : *found) {
    auto shown = co_await registry::show(ctx, kind, o);
    if (!shown.ok()) co_return shown.status();
    const DocumentPtr tree = (*shown)->tree();
    Param p;
    p.value = std::make_shared<const Document>(api_form(*kind, tree->root));
    p.key = o->key();
    out.push_back(std::move(p));
  }
  if (out.empty() && ref.deny_when_none) {
    co_return Status::bad_request(
        "no params found for policy binding with `Deny` parameterNotFoundAction");
  }
  co_return out;
}

Status read_request_namespace(const admission::Attributes& a, const matching::Request& request,
                              Document* out) {
  out->root = Value();
  if (a.is("", "Namespace")) return {};
  return matching::read_namespace(request, out);
}

Task<Status> rest(Context ctx, TimePoint* began) {
  constexpr Duration kLong = 5ms;
  if (ctx.loop().now() - *began < kLong) co_return Status();
  Status s = co_await ctx.sleep(Duration::zero());
  *began = ctx.loop().now();
  if (!s.ok()) {
    co_return Status::timeout("Timeout: request did not complete within requested timeout");
  }
  co_return s;
}

Status forbidden(const admission::Attributes& a, std::string_view why) {
  return Status::forbidden(a.kind->group, a.kind->plural, a.name.empty() ? "Unknown" : a.name, why);
}

}  // namespace keles::policies
