// One request on its way past policies: what they are shown, and with which params. One loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "cel/authorizer.h"
#include "machinery/catalog.h"
#include "server/admission/admission.h"
#include "server/matching/attributes.h"
#include "server/matching/match.h"
#include "server/policies/policy.h"

namespace keles::policies {

// An object as the API shows it, and so as expressions see it: as JSON, Go's zero values included.
Document api_form(const KindDesc& kind, const Value& tree);

// The objects of a request in one version. Null where there is none.
struct Seen {
  const KindDesc* kind = nullptr;
  std::optional<Document> object, before;
  const Value* object_value() const { return object ? &object->root : nullptr; }
  const Value* before_value() const { return before ? &before->root : nullptr; }
};
// `object` and `before` are of the version in which the registry works. Fails where a conversion
// does.
Task<Result<std::shared_ptr<Seen>>> see(Context ctx, const admission::Attributes* a,
                                        const KindDesc* resource, const Value* object,
                                        const Value* before);

// What a policy is evaluated with, once for each.
struct Param {
  std::shared_ptr<const Document> value;  // null: none
  std::string key;                        // "namespace/name"
};
// Those that the binding chooses; one without a value when it asks for none. The error is
// upstream's, of the configuration.
Task<Result<std::vector<Param>>> collect_params(Context ctx, const matching::Request* request,
                                                const KindDesc* kind, const Policy* policy,
                                                const Binding* binding);
// The kind of the policy's params; null when it takes none; fails when nobody serves it.
Result<const KindDesc*> find_param_kind(const Policy& policy, const Catalog& catalog);

// The namespace of the request as `namespaceObject`; a null value of what is in none.
Status read_request_namespace(const admission::Attributes& a, const matching::Request& request,
                              Document* out);

// Expressions, one after the other, may take long: lets others have the loop when it has been long
// since `began`, which is then now. Fails when the request is over.
Task<Status> rest(Context ctx, TimePoint* began);

// resource "name" is forbidden: why
Status forbidden(const admission::Attributes& a, std::string_view why);

}  // namespace keles::policies
