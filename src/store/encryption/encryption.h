// Encryption at rest: the Transformer that an EncryptionConfiguration describes. Stored bytes are
// upstream's (k8s:enc:PROVIDER:VERSION:NAME: and what the provider makes), bound to the object's
// key where the provider binds, so that either reads what the other wrote.
//
// Of a resource's providers the first seals; any opens. What no rule names is stored as it is.
#pragma once

#include <memory>
#include <string>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "store/transformer.h"

namespace keles {

class Encryption : public Transformer {
 public:
  struct Options {
    std::string file;     // --encryption-provider-config
    bool reload = false;  // --encryption-provider-config-automatic-reload
  };
  // Blocking: reads the file, and asks the key management services that it names.
  static Result<std::shared_ptr<Encryption>> from_file(Options options);

  // How the key management services are: what /healthz/kms-providers says. Any thread.
  virtual Status health() const = 0;
  virtual bool has_kms() const = 0;
  // Looks at the file now. OK when it is in use, changed or not; an error leaves what was.
  // Blocking.
  virtual Status reload() = 0;
  // Looks every few seconds, if the options say so, until ctx ends.
  virtual Task<void> run(Context ctx) = 0;
};

}  // namespace keles
