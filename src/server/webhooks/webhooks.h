// Admission webhooks: what MutatingWebhookConfigurations and ValidatingWebhookConfigurations ask to
// be told of. It follows them in the store and publishes, whole, what holds; each write then reads
// that, on its own loop, and waits for nobody who is not concerned.
//
// Threads: after construction, plugins serve any loop. run() once.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/context.h"
#include "base/task.h"
#include "server/admission/admission.h"
#include "server/auth/auth.h"
#include "server/callout/callout.h"
#include "store/store.h"

namespace keles::webhooks {

struct Options {
  callout::Options callout;
  // What is shown to those of each kind; null: nothing.
  callout::CredentialsFor mutating, validating;
};
// As a server has them: services by the store, and many calls at a time.
Options options_for(Store* store);

class Webhooks {
 public:
  // Both outlive it. Reads what the store has already. `auth` answers the `authorizer` of match
  // conditions; null: it has no value.
  Webhooks(Store* store, const auth::Auth* auth, Options options);
  ~Webhooks();

  // Its plugins, "MutatingAdmissionWebhook" and "ValidatingAdmissionWebhook". It outlives them.
  std::shared_ptr<admission::Dynamic> mutating() const;
  std::shared_ptr<admission::Dynamic> validating() const;

  // Keeps what holds current until ctx ends. Spawn it once, on any loop.
  Task<void> run(Context ctx);
  // At once (run() does it by itself).
  void refresh();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace keles::webhooks
