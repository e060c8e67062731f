// Converts custom resources by their definition's webhook. Any thread: each loop has its own
// connections and its own limit of calls at a time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/ip.h"
#include "base/loop.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/custom_kind.h"
#include "machinery/object.h"
#include "machinery/value.h"
#include "net/address.h"

namespace keles::conversion {

struct ServicePlace {
  std::string host;  // an address or a name
  uint16_t port = 0;
};

struct WebhookOptions {
  // Where a service of the cluster is just now. Any thread.
  std::function<Result<ServicePlace>(const std::string& ns, const std::string& name, int64_t port,
                                     Random& random)>
      find_service;
  // Which addresses are dialled for a service, and for a URL, which an administrator wrote.
  bool (*may_dial_service)(const IpAddress&) = net::may_relay_to;
  bool (*may_dial_url)(const IpAddress&) = nullptr;  // null: any but link-local ones
  Duration timeout = 30s;                            // of a call
  int calls = 8;                                     // at a time, on one loop
  size_t objects = 500;                              // in one review
  size_t bytes = 8u << 20;                           // of one review's objects, or one object
};

// The converter of a definition with strategy Webhook; null for others.
std::shared_ptr<Converter> make_webhook_converter(const ObjectPtr& definition,
                                                  const WebhookOptions& options);

}  // namespace keles::conversion
