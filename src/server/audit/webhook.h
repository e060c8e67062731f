// The audit webhook: events are posted as an EventList, again and again for a while when that fails
// (upstream's five tries, each half as long again after the last). One loop's.
#pragma once

#include <memory>
#include <string>

#include "base/loop.h"
#include "net/http.h"
#include "server/audit/delivery.h"

namespace keles::audit {

struct WebhookTarget {
  net::Endpoint endpoint;
  std::string path = "/";
  std::string authorization;  // the header's value; "": none
  std::string token_file;     // read for each request when set, in its place
};

std::unique_ptr<Delivery> make_webhook(Loop& loop, WebhookTarget target, Duration initial_backoff);

}  // namespace keles::audit
