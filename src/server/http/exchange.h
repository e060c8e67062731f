// Exchange: one HTTP request on its way through the front: what it asks, who asks, how the answer
// is to look; and the ways to answer it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/context.h"
#include "machinery/object.h"
#include "net/http.h"
#include "server/auth/caller.h"
#include "server/http/encode.h"
#include "server/http/negotiate.h"
#include "server/http/request_info.h"

namespace keles::server {

struct Exchange {
  net::Request* request = nullptr;
  net::Responder* responder = nullptr;
  Query query;
  RequestInfo info;
  Caller caller;
  Rendering rendering;
  std::vector<std::string> warnings;
  const KindDesc* kind = nullptr;
  int code = 0;  // of the answer, once there is one

  std::string header(std::string_view name) const;
  net::Headers headers(std::string_view content_type) const;

  // Each answers the request, once.
  Task<void> answer(int status, Parts parts);
  Task<void> answer_text(int status, std::string text,
                         std::string content_type = "text/plain; charset=utf-8");
  Task<void> fail(Status why);
  // A Status of success with these details.
  Task<void> succeed(int status, StatusDetails details);
};

}  // namespace keles::server
