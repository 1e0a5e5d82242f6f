"""The Train tab: a form, jobs in processes of their own, live curves and pictures.

    form → specification → jobs → worker process → events → page

`TrainPage` (view) is what a page shows, `Jobs` is shared by all sessions of a server. The worker's
side (`worker`, `work`, `preview`, `specification`) imports nothing of a page.
"""
