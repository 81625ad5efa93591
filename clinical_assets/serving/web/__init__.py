"""The web application: routes, problem details, the OpenAPI document, headers and limits of requests.

What belongs here: HTTP. What does not: what is answered (``predictions``, ``follow_up``) and to whom (``access``).
"""
