// The request behind the attributes of admission.
#pragma once

#include "machinery/value.h"
#include "server/admission/admission.h"
#include "server/auth/caller.h"
#include "server/matching/request.h"

namespace keles::matching {

// "CREATE", "UPDATE", "DELETE", "CONNECT".
std::string_view operation_name(admission::Operation operation);

// What rules look at, and nothing else: no caller, options or objects. Cheap.
Request outline(const admission::Attributes& a);

// All of it, with what it views. The attributes and the objects outlive it.
class FullRequest {
 public:
  // Null where there is none.
  FullRequest(const admission::Attributes& a, const Value* object, const Value* old_object);
  FullRequest(const FullRequest&) = delete;

  const Request& request() const { return request_; }
  void set_object(const Value* object) { request_.object = object; }

 private:
  Caller caller_;
  Document options_;
  Request request_;
};

}  // namespace keles::matching
