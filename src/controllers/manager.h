// All controllers together, with one set of informers: what kube-controller-manager is.
#pragma once

#include <memory>
#include <vector>

#include "controllers/controller.h"
#include "controllers/options.h"

namespace keles::controllers {

class Manager {
 public:
  Manager(Client& client, Options options);
  ~Manager();
  // Runs them until ctx ends and everything has come to rest. The manager and its client outlive
  // the task.
  Task<void> run(Context ctx);
  const std::vector<std::unique_ptr<Controller>>& controllers() const { return controllers_; }

 private:
  template <class C>
  void add(std::string_view name);
  Client& client_;
  Options options_;
  InformerFactory informers_;
  std::vector<std::unique_ptr<Controller>> controllers_;
};

}  // namespace keles::controllers
