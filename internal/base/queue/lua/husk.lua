-- Deletes what is left of a task without its message: nobody can run it, and its id is in the way of a new one. Returns whether it did.
local task_key = KEYS[1]

if redis.call('HEXISTS', task_key, 'msg') == 1 then return 0 end
return redis.call('UNLINK', task_key)
