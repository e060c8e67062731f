// Converts custom resources by their definition's webhook. Any thread: each loop has its own
// connections and its own limit of calls at a time.
#pragma once

#include <memory>

#include "base/context.h"
#include "base/loop.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/custom_kind.h"
#include "machinery/object.h"
#include "machinery/value.h"
#include "server/callout/callout.h"

namespace keles::conversion {

struct WebhookOptions {
  callout::Options callout;
  Duration timeout = 30s;   // of a call
  size_t objects = 500;     // in one review
  size_t bytes = 8u << 20;  // of one review's objects, or one object
};

// The converter of a definition with strategy Webhook; null for others.
std::shared_ptr<Converter> make_webhook_converter(const ObjectPtr& definition,
                                                  const WebhookOptions& options);

}  // namespace keles::conversion
