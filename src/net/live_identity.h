// Who this program is towards others, and whom it believes, exchanged while connections are made
// with it: certificates are renewed, and CAs exchanged, under a running server. Any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "net/http.h"

namespace keles::net {

class LiveIdentity {
 public:
  explicit LiveIdentity(TlsIdentity identity)
      : identity_(std::make_shared<const TlsIdentity>(std::move(identity))) {}
  // Whole: a certificate and the key of it. For connections from now on.
  std::shared_ptr<const TlsIdentity> get() const {
    std::lock_guard lock(mutex_);
    return identity_;
  }
  void set(TlsIdentity identity) {
    auto next = std::make_shared<const TlsIdentity>(std::move(identity));
    std::lock_guard lock(mutex_);
    identity_ = std::move(next);
  }
  // By which CAs the others are known from now on. Until then it is as their user says.
  void set_trust(std::string ca_pem) {
    std::lock_guard lock(mutex_);
    ca_pem_ = std::move(ca_pem);
  }
  // What a new connection is made with.
  void apply(ClientTls* tls) const {
    std::lock_guard lock(mutex_);
    tls->identity = *identity_;
    if (!ca_pem_.empty()) tls->ca_pem = ca_pem_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const TlsIdentity> identity_;
  std::string ca_pem_;  // "": as their user says
};

}  // namespace keles::net
