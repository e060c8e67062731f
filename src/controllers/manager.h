// All controllers together, with one set of informers: what kube-controller-manager is.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "controllers/autoscaling/options.h"
#include "controllers/controller.h"
#include "controllers/options.h"

namespace keles::controllers {

// What --controllers and --concurrent-*-syncs can say of a controller.
struct ControllerName {
  std::string_view name;   // upstream's, by which it is turned on and off
  std::string_view alias;  // its name of old, as good; "" when it never had another
  bool on_by_default;
  std::string_view syncs_flag;  // "concurrent-job-syncs"; "" when there is none
  int syncs;                    // keys that are reconciled at once unless that flag says so
};
// Those that there are, in the order in which they are started.
std::vector<ControllerName> known_controllers();
// Whether it is to run: "foo" turns one on, "-foo" off, "*" all that are on by default; what is
// said of one first counts. By names or aliases.
bool wants_controller(const std::vector<std::string>& chosen, const ControllerName& controller);
// kBadRequest, in upstream's words, for a name that is none.
Status check_controllers(const std::vector<std::string>& chosen);

// The client of a service account of kube-system, of the manager's loop, which outlives it.
using ClientOf = std::function<Client&(std::string_view account)>;

class Manager {
 public:
  // Informers are `client`'s, and so is all else unless `own` is given: then each controller
  // writes as its own account.
  Manager(Client& client, Options options, AutoscalingOptions autoscaling = AutoscalingOptions(),
          ClientOf own = ClientOf());
  ~Manager();
  // Runs them until ctx ends and everything has come to rest. The manager and its client outlive
  // the task.
  Task<void> run(Context ctx);
  const std::vector<std::unique_ptr<Controller>>& controllers() const { return controllers_; }

 private:
  Client& client_;
  Options options_;
  InformerFactory informers_;
  std::vector<std::unique_ptr<Controller>> controllers_;
  std::vector<std::string_view> names_;  // of those
};

}  // namespace keles::controllers
