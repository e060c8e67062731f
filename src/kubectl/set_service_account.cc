#include "kubectl/set.h"
#include "kubectl/verbs.h"

namespace keles::kubectl {

Status set_service_account(Invocation& in) {
  Setter setter("serviceaccount updated", "failed to patch ServiceAccountName ");
  setter.also_unchanged = true;
  setter.add_to(in.flags, "identifying the resource to get from a server.", false);
  TRY(in.parse());
  TRY(setter.prepare());
  if (in.args.empty()) return failure("serviceaccount is required");
  const std::string& account = in.args.back();
  setter.query.args.assign(in.args.begin(), in.args.end() - 1);
  std::vector<Status> errors;
  TRY_ASSIGN(found, setter.find(in, &errors));
  return setter.change_all(in, found, &errors, [&](Document& d) -> Status {
    TRY_ASSIGN(spec, editable_pod_spec(d));
    // Emptied, it is as if it had never been said.
    if (account.empty()) {
      spec->erase("serviceAccountName");
    } else {
      spec->set(d.arena, "serviceAccountName", text(d, account));
    }
    return Status();
  });
}

}  // namespace keles::kubectl
